// Marks in the contents what is being read.
(() => {
  "use strict";
  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const strip = document.querySelector(".contents ol");
  const seen = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) seen[isIntersecting ? "add" : "delete"](target.id);
    const current = [...links.keys()].find((id) => seen.has(id));
    for (const [id, link] of links) {
      if (id !== current) link.removeAttribute("aria-current");
      else if (!link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "true");
        // On narrow screens the contents are a strip that scrolls sideways by itself.
        strip.scrollTo({ left: link.offsetLeft - strip.clientWidth / 3 });
      }
    }
  }, { rootMargin: "-15% 0px -70% 0px" });
  for (const id of links.keys()) observer.observe(document.getElementById(id));
})();
