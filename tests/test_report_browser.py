"""The report in a real browser: what a reader does with mouse, keyboard and a narrow screen, and that nothing is fetched."""

import json
import shutil

import pytest
from made_up_report import made_up_runs, write_results
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from ctrh.paper.report import page
from profiles.smoke import PROFILE as SMOKE

WIDE, PHONE = (1280, 900), (360, 740)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    with pytest.MonkeyPatch.context() as patch, made_up_runs(tmp_path_factory.mktemp("cache")):
        patch.setenv("CTRH_FIGURES", str(folder))
        write_results(folder)
        return page.build(SMOKE)[0].as_uri()


@pytest.fixture(scope="module")
def driver():
    """Headless Chromium. Selenium would fetch a driver by itself: both are named, or there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    binary = next(filter(None, map(shutil.which, names)), None)
    program = shutil.which("chromedriver")
    if binary is None or program is None:
        pytest.skip("no Chromium with chromedriver here (Debian: apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    # Containers give their root user no sandbox, and little shared memory.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    try:
        browser = webdriver.Chrome(options=options, service=Service(program))
    except WebDriverException as error:
        pytest.skip(f"{binary} does not start: {error.msg}")
    yield browser
    browser.quit()


@pytest.fixture
def browser(driver, address):
    """The page freshly loaded on a wide, light screen; afterwards nothing may have gone wrong or been fetched."""
    screen(driver, *WIDE)
    scheme(driver, "light")
    driver.get(address)
    driver.execute_script("localStorage.clear()")
    driver.get(address)
    yield driver
    assert driver.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert {url.partition("#")[0] for url in asked if url.startswith("file")} == {address}


def screen(driver, width, height):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def scheme(driver, name):
    feature = {"name": "prefers-color-scheme", "value": name}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def all_of(browser, selector):
    return browser.find_elements(By.CSS_SELECTOR, selector)


def one(browser, selector):
    (element,) = all_of(browser, selector)
    return element


def click(browser, element):
    # The centre, lest something that sticks to the window's edge lies above it.
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    element.click()


def data(browser):
    return json.loads(one(browser, "#explorer-data").get_attribute("textContent"))


def selected(browser, block):
    return one(browser, f"{block} [aria-selected=true]")


def shown(browser):
    """What is selected and what the page says was found, read back from the page: (query, method, bits, right)."""
    cell = selected(browser, "#matrix")
    query = int(selected(browser, "#queries").get_attribute("id").removeprefix("query-"))
    first = all_of(browser, "#found .results")[0]
    right = [
        "wrong" not in each.get_attribute("class")
        for each in first.find_elements(By.CSS_SELECTOR, "[role=option]")
    ]
    return query, cell.get_attribute("data-method"), int(cell.get_attribute("data-bits")), right


def expected(browser, dataset, query, method, bits, kind=0):
    entry = data(browser)[dataset]["kinds"][kind]["rankings"][f"{method}|{bits}"][query]
    return [bool(each) for each in entry["right"]]


def press(browser, *keys):
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def test_choosing_a_query_by_click_shows_what_it_finds(browser):
    for number in (0, 5):
        click(browser, one(browser, f"#query-{number}"))
        query, method, bits, right = shown(browser)
        assert (query, method, bits) == (number, "CTRH", SMOKE.bits[-1])
        assert right == expected(browser, 0, number, "CTRH", bits)
        assert f"CTRH, {bits} bits: {sum(right)} of 10 right" in one(browser, "#announcement").get_attribute(
            "textContent"
        )


def test_queries_are_chosen_with_the_keyboard_alone(browser):
    browser.execute_script("document.querySelector('#choose-beside').focus()")
    press(browser, Keys.TAB)
    before = shown(browser)[0]
    assert browser.switch_to.active_element.get_attribute("id") == f"query-{before}"
    press(browser, Keys.ARROW_RIGHT)
    assert shown(browser)[0] == before + 1
    press(browser, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert shown(browser)[0] == before - 1
    press(browser, Keys.HOME, Keys.ARROW_DOWN)
    assert shown(browser)[0] == 6
    press(browser, Keys.ARROW_UP)
    assert shown(browser)[0] == 0
    press(browser, Keys.ARROW_LEFT, Keys.ARROW_UP)
    assert shown(browser)[0] == 0
    press(browser, Keys.END)
    last = shown(browser)[0]
    assert last == len(data(browser)[0]["kinds"][0]["queries"]) - 1
    assert browser.switch_to.active_element.get_attribute("id") == f"query-{last}"
    # One stop of the tab key for the whole block.
    press(browser, Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("role") == "gridcell"
    assert len(all_of(browser, "#queries [tabindex='0']")) == 1


def test_method_and_length_change_by_key_and_by_click(browser):
    browser.execute_script("document.querySelector('#matrix [aria-selected=true]').focus()")
    press(browser, Keys.ARROW_UP)
    query, method, bits, right = shown(browser)
    assert (method, bits) == (SMOKE.methods[SMOKE.methods.index("CTRH") - 1], SMOKE.bits[-1])
    assert right == expected(browser, 0, query, method, bits)
    press(browser, Keys.ARROW_LEFT)
    assert shown(browser)[1:3] == (method, SMOKE.bits[-2])
    click(browser, one(browser, f"#matrix [data-method=LSH][data-bits='{SMOKE.bits[0]}']"))
    query, method, bits, right = shown(browser)
    assert (method, bits) == ("LSH", SMOKE.bits[0]) and right == expected(browser, 0, query, "LSH", bits)
    for cell in all_of(browser, "#matrix [role=gridcell]"):
        count = sum(
            expected(browser, 0, query, cell.get_attribute("data-method"), cell.get_attribute("data-bits"))
        )
        assert cell.text == str(count) and f"{count} of 10 right" in cell.get_attribute("aria-label")


def test_wrong_results_are_marked_in_more_than_colour(browser):
    click(browser, one(browser, f"#matrix [data-method=LSH][data-bits='{SMOKE.bits[0]}']"))
    click(browser, one(browser, "#query-0"))
    right = shown(browser)[3]
    results = all_of(browser, "#found .results")[0].find_elements(By.CSS_SELECTOR, "[role=option]")
    assert not all(right) and len(results) == 10
    for rank, (good, each) in enumerate(zip(right, results), 1):
        marks = each.find_elements(By.CSS_SELECTOR, ".mark")
        image = each.find_element(By.TAG_NAME, "img")
        style = "none" if good else "dashed"
        assert [mark.text for mark in marks] == ([] if good else ["✕"])
        assert (
            image.value_of_css_property("border-top-style") == style
            and int(image.get_property("naturalWidth")) > 0
        )
        assert ("wrong" in each.text) is not good
        assert each.get_attribute("aria-label").startswith(
            f"Rank {rank}, {'right' if good else 'wrong'}, distance "
        )


def test_tags_before_and_after_of_the_query_and_of_what_is_found(browser):
    entry = data(browser)[0]

    def words(list_number):
        items = all_of(browser, "#asked .tags")[list_number].find_elements(By.TAG_NAME, "li")
        return [browser.execute_script("return arguments[0].firstChild.textContent", item) for item in items]

    def told(photo):
        own = entry["photos"][str(photo)]
        return [[entry["words"][word] for word in own[name]] or ["none"] for name in ("before", "after")]

    for number in (1, 4):
        click(browser, one(browser, f"#query-{number}"))
        assert [words(0), words(1)] == told(entry["kinds"][0]["queries"][number])
    ranking = entry["kinds"][0]["rankings"][f"CTRH|{SMOKE.bits[-1]}"][4]
    browser.execute_script("document.querySelector('#found [role=option]').focus()")
    press(browser, Keys.ARROW_RIGHT)
    assert "rank 2" in one(browser, "#asked h3").text and [words(0), words(1)] == told(ranking["photos"][1])
    press(browser, Keys.ARROW_DOWN)
    assert "rank 7" in one(browser, "#asked h3").text and [words(0), words(1)] == told(ranking["photos"][6])
    click(browser, all_of(browser, "#found .results")[1].find_elements(By.CSS_SELECTOR, "[role=option]")[0])
    assert (
        "rank 1" in one(browser, "#asked h3").text
        and len(all_of(browser, "#found [aria-selected=true]")) == 1
    )


def test_another_method_stands_beside_or_nothing(browser):
    choice = Select(one(browser, "#choose-beside"))
    choice.select_by_visible_text("LSH")
    titles = [each.text for each in all_of(browser, "#found h3")]
    assert [title.split(",")[0] for title in titles] == ["CTRH", "LSH"]
    choice.select_by_visible_text("nothing")
    assert len(all_of(browser, "#found .results")) == 1


def test_data_sets_and_kinds_of_query_change(browser):
    click(browser, one(browser, "#choose-dataset input[value='scenes-nus']"))
    query, method, bits, right = shown(browser)
    assert right == expected(browser, 1, query, method, bits)
    assert not one(browser, "#choose-kind").is_displayed()
    click(browser, one(browser, "#choose-dataset input[value='scenes-mir']"))
    click(browser, one(browser, "#choose-kind input[value='text']"))
    queries = [each.text for each in all_of(browser, "#queries [role=option]")]
    assert queries == ["butterfly garden", "<i>sea</i> & sun"]
    assert "“<i>sea</i> & sun”" in one(browser, "#asked").text
    query, method, bits, right = shown(browser)
    assert (query, method) == (1, "FJSPH") and right == expected(browser, 0, 1, "FJSPH", bits, kind=1)
    click(browser, all_of(browser, "#found [role=option]")[2])
    assert "rank 3" in one(browser, "#asked h3").text


def test_dark_as_the_system_is_and_as_the_reader_chooses(browser, address):
    def lightness():
        colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.strip("rgb()").split(",")[:3])

    assert lightness() > 700
    scheme(browser, "dark")
    assert lightness() < 120
    click(browser, one(browser, "input[name=theme][value=light]"))
    assert lightness() > 700
    scheme(browser, "light")
    click(browser, one(browser, "input[name=theme][value=dark]"))
    assert lightness() < 120
    browser.get(address)
    assert lightness() < 120 and one(browser, "input[name=theme][value=dark]").is_selected()


def test_a_phone_needs_no_sideways_scrolling(browser):
    screen(browser, *PHONE)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width <= PHONE[0]
    assert all(each.rect["width"] >= 30 for each in all_of(browser, "#queries [role=option]"))
    click(browser, one(browser, "#query-3"))
    assert shown(browser)[0] == 3
    # What is wider than the screen scrolls in a box of its own.
    escaping = """return [...document.querySelectorAll('main *')].filter((each) =>
        each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.scroll, pre, math, .unseen')).length"""
    assert browser.execute_script(escaping) == 0


def test_contents_lead_to_their_sections(browser):
    click(browser, one(browser, ".contents a[href='#studies']"))
    # The page glides there.
    top = "return Math.abs(document.getElementById('studies').getBoundingClientRect().top) < 100"
    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(top))
    current = ".contents a[href='#studies'][aria-current]"
    WebDriverWait(browser, 20).until(lambda driver: all_of(driver, current))


def test_text_has_contrast_in_both_themes(browser):
    """WCAG AA: 4.5 to 1 for every colour of text on the ground that it stands on."""
    script = """
      const lightOf = (colour) => {
        const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
          .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ground = (each) => {
        for (let at = each; at; at = at.parentElement) {
          const colour = getComputedStyle(at).backgroundColor;
          if (colour.startsWith("rgb(")) return colour;
          if (colour.startsWith("color(")) return null;
        }
      };
      const bad = [];
      for (const each of document.querySelectorAll("body *")) {
        if (![...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
        if (each.closest("script, style, noscript")) continue;
        const below = ground(each);
        if (!below) continue;
        const [a, b] = [lightOf(getComputedStyle(each).color), lightOf(below)].sort((x, y) => y - x);
        if ((a + 0.05) / (b + 0.05) < 4.5) bad.push([each.tagName, each.className, each.textContent.slice(0, 30), (a + 0.05) / (b + 0.05)]);
      }
      return bad;"""
    for name in ("light", "dark"):
        scheme(browser, name)
        assert browser.execute_script(script) == []


def test_a_notebooks_page_opens_without_trouble(driver, address):
    driver.get(address.replace("index.html", "notebooks/01_first.html"))
    assert "First: a < b" in one(driver, "h1").text
    assert driver.execute_script("return document.querySelector('math').getBoundingClientRect().width") > 5
    assert driver.get_log("browser") == []
    driver.get_log("performance")
