// The retrieval explorer: who asks, what answers, what is found. Everything it shows is in #explorer-data.
(() => {
  "use strict";
  const datasets = JSON.parse(document.getElementById("explorer-data").textContent);
  const at = (id) => document.getElementById(id);
  const KINDS = { photo: "a photo", text: "words" };
  const OWN = "CTRH";

  // ---- parts of the page -------------------------------------------------------------------------------------

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  const picture = (photo, alt) => make("img", { src: `data:image/webp;base64,${photo.image}`, alt, draggable: "false" });
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const listed = (labels) => labels.map((label) => dataset().labels[label].replaceAll("_", " ")).join(", ") || "no label";

  function radios(holder, name, values, labels, chosen, choose) {
    holder.querySelectorAll("label").forEach((label) => label.remove());
    for (const value of values) {
      const input = make("input", { type: "radio", name, value, checked: value === chosen });
      input.addEventListener("change", () => choose(value));
      holder.append(make("label", {}, input, make("span", {}, labels[value] ?? value)));
    }
  }

  // One stop of the tab key for a whole block; arrow keys move inside it by where things are on the screen.
  function roving(block, items, chosen, choose) {
    const mark = (current) => items.forEach((item) => {
      item.tabIndex = item === current ? 0 : -1;
      item.setAttribute("aria-selected", String(item === chosen));
    });
    const select = (item) => { chosen = item; mark(item); choose(item); };
    block.onclick = (event) => {
      const item = items.find((each) => each.contains(event.target));
      if (item) { item.focus(); select(item); }
    };
    block.onkeydown = (event) => {
      const current = items.indexOf(document.activeElement);
      if (current < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); select(items[current]); return; }
      const next = event.key === "Home" ? items[0] : event.key === "End" ? items.at(-1) : neighbour(items, current, event.key);
      if (next === undefined) return;
      event.preventDefault();
      next.focus();
      select(next);
    };
    mark(chosen ?? items[0]);
  }

  // undefined: not a key that moves; at an edge the item itself.
  function neighbour(items, current, key) {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[key];
    if (!step) return undefined;
    if (key === "ArrowRight" || key === "ArrowLeft") return items[current + step] ?? items[current];
    const middle = (box) => box.left + box.width / 2;
    const here = items[current].getBoundingClientRect();
    let best = items[current], least = Infinity;
    for (const item of items) {
      const box = item.getBoundingClientRect();
      const rows = step * (box.top - here.top) / here.height;
      if (rows < 0.5) continue;
      const distance = Math.round(rows) * 1e4 + Math.abs(middle(box) - middle(here));
      if (distance < least) { best = item; least = distance; }
    }
    return best;
  }

  // ---- what is chosen ----------------------------------------------------------------------------------------

  const state = {};

  const dataset = () => datasets.find((each) => each.name === state.dataset);
  const kind = () => dataset().kinds.find((each) => each.kind === state.kind);
  const ranking = (method, bits = state.bits) => kind().rankings[`${method}|${bits}`]?.[state.query] ?? null;
  const rightOf = (found) => found.right.reduce((sum, one) => sum + one, 0);

  function chooseDataset(name) {
    state.dataset = name;
    chooseKind(dataset().kinds.some((each) => each.kind === state.kind) ? state.kind : dataset().kinds[0].kind);
  }

  function chooseKind(name) {
    state.kind = name;
    const { methods, bits, queries } = kind();
    if (!methods.includes(state.method)) state.method = methods.includes(OWN) ? OWN : methods.at(-1);
    if (!bits.includes(state.bits)) state.bits = bits.at(-1);
    if (state.beside !== "" && !methods.includes(state.beside)) {
      state.beside = methods.filter((method) => method !== state.method).at(-1) ?? "";
    }
    state.query = Math.floor(queries.length / 2);
    state.looked = null;
    drawControls();
    drawQueries();
    drawAnswers();
  }

  // ---- drawing -----------------------------------------------------------------------------------------------

  function drawControls() {
    const labels = Object.fromEntries(datasets.map((each) => [each.name, each.name]));
    radios(at("choose-dataset"), "dataset", datasets.map((each) => each.name), labels, state.dataset, chooseDataset);
    const kinds = dataset().kinds.map((each) => each.kind);
    radios(at("choose-kind"), "kind", kinds, KINDS, state.kind, chooseKind);
    at("choose-kind").hidden = kinds.length < 2;
    const nothing = make("option", { value: "", selected: state.beside === "" }, "nothing");
    const others = kind().methods.map((method) => make("option", { value: method, selected: method === state.beside }, method));
    at("choose-beside").replaceChildren(nothing, ...others);
    at("choose-beside").onchange = (event) => { state.beside = event.target.value; drawAnswers(); };
    at("queries-rule").textContent = kind().rule;
  }

  function drawQueries() {
    const asksWithPhotos = state.kind === "photo";
    const { queries } = kind();
    const items = queries.map((query, number) => {
      const option = make("div", { role: "option", id: `query-${number}` });
      if (asksWithPhotos) {
        const name = `Query ${number + 1} of ${queries.length}: ${listed(dataset().photos[query].labels)}`;
        option.setAttribute("aria-label", name);
        option.title = name;
        option.append(picture(dataset().photos[query], ""));
      } else option.append(query);
      return option;
    });
    const block = at("queries");
    block.className = state.kind;
    block.replaceChildren(...items);
    at("queries-scale").hidden = !asksWithPhotos;
    at("queries-title").textContent = asksWithPhotos ? "Query photos" : "Words";
    roving(block, items, items[state.query], (item) => {
      state.query = items.indexOf(item);
      state.looked = null;
      drawAnswers();
    });
  }

  function drawAnswers() {
    drawMatrix();
    drawAsked();
    const shown = [state.method, state.beside].filter((method, place, all) => method && all.indexOf(method) === place);
    at("found").replaceChildren(...shown.map(drawRanking));
    const found = ranking(state.method);
    at("announcement").textContent = found
      ? `${state.method}, ${state.bits} bits: ${rightOf(found)} of ${found.right.length} right.`
      : `${state.method}, ${state.bits} bits: not computed.`;
  }

  function drawMatrix() {
    const { methods, bits } = kind();
    const cells = [];
    const rows = methods.map((method) => make(
      "tr", { role: "row", class: method === state.beside ? "beside-row" : null },
      make("th", { scope: "row", role: "rowheader" }, method),
      ...bits.map((length) => {
        const found = ranking(method, length);
        const text = found ? `${rightOf(found)}` : "–";
        const name = found ? `${method}, ${length} bits: ${text} of ${found.right.length} right` : `${method}, ${length} bits: not computed`;
        const inner = make("span", { style: `--share: ${found ? rightOf(found) / found.right.length : 0}` }, text);
        const cell = make("td", { role: "gridcell", "aria-label": name, "data-method": method, "data-bits": length }, inner);
        cells.push(cell);
        return cell;
      }),
    ));
    const heads = bits.map((length) => make("th", { scope: "col", role: "columnheader" }, `${length}`));
    const corner = make("th", { scope: "col", role: "columnheader" }, make("span", { class: "unseen" }, "method; columns: bits"), "bits");
    const hadFocus = at("matrix").contains(document.activeElement);
    at("matrix").replaceChildren(make("thead", {}, make("tr", { role: "row" }, corner, ...heads)), make("tbody", {}, ...rows));
    const count = ranking(state.method)?.right.length ?? 10;
    at("matrix-count").textContent = count === 10 ? "ten" : `${count}`;
    const chosen = cells.find((cell) => cell.dataset.method === state.method && Number(cell.dataset.bits) === state.bits);
    roving(at("matrix"), cells, chosen, (cell) => {
      state.method = cell.dataset.method;
      state.bits = Number(cell.dataset.bits);
      state.looked = null;
      drawAnswers();
    });
    if (hadFocus) chosen.focus();
  }

  function drawAsked() {
    const query = kind().queries[state.query];
    const asksWithPhoto = state.kind === "photo";
    const index = state.looked?.photo ?? (asksWithPhoto ? query : null);
    const title = state.looked ? `Found by ${state.looked.method}, rank ${state.looked.rank}` : asksWithPhoto ? "The query" : "The words asked for";
    at("asked").classList.toggle("wordy", index === null);
    if (index === null) {
      const hint = "Choose a photo below to see its tags.";
      at("asked").replaceChildren(make("h3", {}, title), make("p", { class: "words" }, `“${query}”`), make("p", {}, hint));
      return;
    }
    const photo = dataset().photos[index];
    at("asked").replaceChildren(
      picture(photo, `${title}: ${listed(photo.labels)}`),
      make("div", {},
        make("h3", {}, `${title} `, make("span", {}, `labels: ${listed(photo.labels)}`)),
        make("div", { class: "exchange" },
          make("div", {}, make("h4", {}, "Tags of its user"), tags(photo, photo.before, photo.after, "gone")),
          make("div", {}, make("h4", {}, "After refinement"), tags(photo, photo.after, photo.before, "new")),
        ),
        make("p", { class: "key" },
          `Struck out: taken away. Framed: brought.${photo.true ? " ✓: true of the picture." : ""} Labels only judge; no method sees them.`),
      ),
    );
  }

  function tags(photo, mine, others, change) {
    const { words } = dataset();
    const items = mine.map((word) => {
      const changed = !others.includes(word), right = photo.true?.includes(word);
      const said = [changed && (change === "gone" ? "taken away" : "brought"), right && "true"].filter(Boolean).join(", ");
      return make("li", { class: `${changed ? change : ""}${right ? " true" : ""}` },
        words[word], said ? make("span", { class: "unseen" }, ` (${said})`) : null);
    });
    return make("ul", { class: "tags" }, ...(items.length ? items : [make("li", { class: "none" }, "none")]));
  }

  function drawRanking(method) {
    const found = ranking(method);
    const title = make("h3", { id: `ranking-${method}` }, `${method}, ${state.bits} bits `);
    if (!found) return make("div", { class: "ranking" }, title, make("p", {}, "This run has not been computed."));
    const average = found.ap === null ? "" : ` · average precision over all photos ${percent(found.ap)}`;
    title.append(make("span", {}, `${rightOf(found)} of ${found.right.length} right${average}`));
    const items = found.photos.map((index, place) => {
      const photo = dataset().photos[index], right = found.right[place] === 1, rank = place + 1;
      const distance = found.distances[place];
      const name = `Rank ${rank}, ${right ? "right" : "wrong"}, distance ${distance}: ${listed(photo.labels)}`;
      return make("div", { role: "option", class: `result ${right ? "right" : "wrong"}`, "aria-label": name, title: name },
        picture(photo, ""),
        right ? null : make("span", { class: "mark", "aria-hidden": "true" }, "✕"),
        make("span", { class: "note", "aria-hidden": "true" },
          make("b", {}, right ? `${rank}` : `${rank} wrong`), make("span", { class: "distance" }, `d ${distance}`)),
      );
    });
    const block = make("div", { class: "results", role: "listbox", "aria-labelledby": title.id }, ...items);
    roving(block, items, null, (item) => {
      const place = items.indexOf(item);
      for (const other of at("found").querySelectorAll("[aria-selected=true]")) {
        if (!block.contains(other)) other.setAttribute("aria-selected", "false");
      }
      state.looked = { photo: found.photos[place], method, rank: place + 1 };
      drawAsked();
    });
    return make("div", { class: "ranking" }, title, block);
  }

  at("explorer-app").hidden = false;
  chooseDataset(datasets[0].name);
})();
