"""The page of `browse`: what it answers and refuses, and in a real browser what a person does with it."""

import contextlib
import http.client
import io
import json
import re
import threading
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from test_report_browser import driver, screen  # noqa: F401

from ctrh.app import browsing
from ctrh.app.cli import main


class Found:
    """Six photos of one colour each; a picture is as far as its mean colour, a text as far as its length."""

    def __init__(self, folder):
        self.names = tuple(f"photo {i} <b>&amp;.png" for i in range(6))
        self.folder, self.chance = folder, object()
        self.index = SimpleNamespace(codes=np.arange(6, dtype=np.uint8)[:, None])
        for i, name in enumerate(self.names):
            Image.new("RGB", (40, 30), (i * 50, 0, 0)).save(folder / name)

    def nearest(self, place):
        order = sorted(range(6), key=lambda i: (abs(i - place), i))
        return [(self.names[i], abs(i - place), abs(i - place) > 2) for i in order]

    def search(self, picture, k):
        return self.nearest(round(picture.getpixel((0, 0))[0] / 50))[:k]

    def search_code(self, code, k):
        return self.nearest(int(code[0, 0]))[:k]

    def search_text(self, text, k):
        if not text.strip("+- "):
            raise ValueError("there is nothing to look for")
        return self.nearest(0 if text == "zzzxqy" else len(text))[:k]


@pytest.fixture
def server(tmp_path):
    found = Found(tmp_path)
    with browsing.Server(found, {found.names[3]: "cat, <i>"}, {found.names[3]: "dog"}) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(server, path, body=None, token=None, method=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    with contextlib.closing(connection):
        method = method or ("GET" if body is None else "POST")
        connection.request(method, f"{path}token={server.token if token is None else token}", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()


def names(answer):
    assert answer[0] == 200
    return [int(photo["name"].split()[1]) for photo in json.loads(answer[2])["photos"]]


def encoded(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_searches_by_text_photo_and_picture(server):
    assert names(ask(server, f"/search?text={quote('cat')}&")) == [3, 2, 4, 1, 5, 0]
    assert names(ask(server, "/search?photo=5&")) == [5, 4, 3, 2, 1, 0]
    status, _, body = ask(server, "/search?", encoded(Image.new("RGB", (9, 9), (50, 0, 0))))
    photos = json.loads(body)["photos"]
    assert [photo["row"] for photo in photos] == [1, 0, 2, 3, 4, 5]
    assert [photo["chance"] for photo in photos] == [False] * 4 + [True] * 2
    assert (photos[3]["before"], photos[3]["after"], photos[2]["after"]) == ("cat, <i>", "dog", "")


def test_photos_are_shown_small_and_without_their_metadata(server):
    exif = Image.Exif()
    exif[0x010E] = "at home"
    Image.new("RGB", (900, 600)).save(server.found.folder / server.found.names[0], exif=exif)
    for path, width in (("/photo?row=0&", 320), ("/photo?row=0&large=1&", 900)):
        status, headers, body = ask(server, path)
        assert status == 200 and b"at home" not in body
        assert Image.open(io.BytesIO(body)).size[0] == width and dict(headers)["Content-Type"] == "image/jpeg"


@pytest.mark.parametrize("path", ["/", "/photo?row=0&", "/about?", "/search?text=a&"])
def test_without_the_token_or_by_another_name_nothing_is_told(server, path):
    path = path if "?" in path else f"{path}?"
    for token in ("", "x", "ä".encode().decode("latin1"), server.token[:-1]):
        assert ask(server, path, token=quote(token))[0] == 403
    assert ask(server, path, Host=f"evil.example:{server.server_port}")[0] == 403
    assert ask(server, path, Host=f"localhost:{server.server_port}")[0] == 200
    assert server.server_address[0] == "127.0.0.1"


def test_what_is_not_there_is_refused_in_words(server, monkeypatch):
    for path in ("/photo?row=6&", "/photo?row=-1&", "/photo?row=../x&", "/photo?", "/search?photo=x&", "/search?text=%2B&"):
        status, _, body = ask(server, path)
        assert status == 400 and json.loads(body)["error"]
    assert ask(server, "/../secret?")[0] == 404
    assert b"not a picture" in ask(server, "/search?", b"no picture")[2]
    assert ask(server, "/search?", b"", method="DELETE")[0] == 501
    monkeypatch.setattr(browsing, "UPLOAD", 10)
    assert ask(server, "/search?", b"x" * 11)[0] == 413
    (server.found.folder / server.found.names[1]).unlink()
    assert ask(server, "/photo?row=1&")[0] == 400


@pytest.fixture
def page(driver, server):  # noqa: F811
    screen(driver, 1280, 900)
    for log in ("browser", "performance"):
        driver.get_log(log)  # whatever another page has left there
    driver.get(server.address)
    wait(driver, lambda: len(tiles(driver)) == 6)
    yield driver
    assert driver.get_log("browser") == []
    asked = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [each["params"]["request"]["url"] for each in asked if each["method"] == "Network.requestWillBeSent"]
    assert {urlsplit(url).netloc for url in urls if url.startswith("http")} == {urlsplit(server.address).netloc}


def wait(driver, condition):  # noqa: F811
    WebDriverWait(driver, 30).until(lambda _: condition())


def tiles(driver):  # noqa: F811
    return driver.find_elements(By.CSS_SELECTOR, "#found button")


def first(driver):  # noqa: F811
    return driver.execute_script("return document.querySelector('#found img')?.alt ?? ''")


def test_a_person_searches_with_the_keyboard_alone(page):
    body = page.find_element(By.TAG_NAME, "body")
    body.send_keys("/")
    page.switch_to.active_element.send_keys("cats", Keys.ENTER)
    wait(page, lambda: first(page).startswith("photo 4"))
    assert page.find_element(By.ID, "status").text == "cats: 4 photos better than chance"
    assert [tile.get_attribute("class") for tile in tiles(page)] == [""] * 4 + ["chance"] * 2
    page.execute_script("document.activeElement.blur()")
    body.send_keys(Keys.ARROW_RIGHT)
    page.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    page.switch_to.active_element.send_keys(Keys.ENTER)
    dialog = page.find_element(By.TAG_NAME, "dialog")
    wait(page, dialog.is_displayed)
    assert page.find_element(By.ID, "name").text == "photo 3 <b>&amp;.png"
    assert page.find_element(By.ID, "before").text == "cat, <i>" and page.find_element(By.ID, "after").text == "dog"
    page.switch_to.active_element.send_keys("m")
    wait(page, lambda: first(page).startswith("photo 3"))
    assert not dialog.is_displayed()


def test_a_picture_is_chosen_or_dropped(page, tmp_path):
    (tmp_path / "query.png").write_bytes(encoded(Image.new("RGB", (9, 9), (250, 0, 0))))
    page.find_element(By.CSS_SELECTOR, "[type=file]").send_keys(str(tmp_path / "query.png"))
    wait(page, lambda: first(page).startswith("photo 5"))
    drop = """
        const canvas = Object.assign(document.createElement("canvas"), {width: 9, height: 9});
        const context = canvas.getContext("2d");
        context.fillStyle = "rgb(100, 0, 0)";
        context.fillRect(0, 0, 9, 9);
        canvas.toBlob(blob => {
          const data = new DataTransfer();
          data.items.add(new File([blob], "dropped.png"));
          document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
        });"""
    page.execute_script(drop)
    wait(page, lambda: first(page).startswith("photo 2"))
    assert page.find_element(By.ID, "status").text.startswith("like dropped.png")


def test_on_a_phone_nothing_is_wider_than_the_screen(page):
    screen(page, 360, 740)
    field = page.find_element(By.CSS_SELECTOR, "[type=search]")
    field.send_keys("zzzxqy", Keys.ENTER)
    wait(page, lambda: first(page).startswith("photo 0"))
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    tiles(page)[0].click()
    wait(page, page.find_element(By.TAG_NAME, "dialog").is_displayed)
    assert page.execute_script("return document.querySelector('dialog').getBoundingClientRect().right") <= 360
    page.find_element(By.ID, "close").click()


def test_the_command_serves_a_model_and_changes_nothing(fit, folder, capsys, monkeypatch):
    (folder / "labels.csv").unlink()
    assert fit("--method", "LSH") == 0
    before = {path: path.read_bytes() for path in [*fit.out.iterdir(), *folder.rglob("*.*")]}
    answers = []

    def once(server):
        monkeypatch.undo()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        answers.extend(ask(server, path) for path in ("/?", "/about?", "/search?photo=4&", "/photo?row=4&", "/search?text=a&"))
        server.shutdown()
        raise KeyboardInterrupt

    monkeypatch.setattr(browsing.Server, "serve_forever", once)
    capsys.readouterr()
    assert main(["browse", str(fit.out)]) == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=\S{22}\n", capsys.readouterr().out)
    page, about, found, photo, text = answers
    assert page[2] == Path(browsing.__file__).with_name("browse.html").read_bytes()
    assert json.loads(about[2])["words"] is False and json.loads(about[2])["count"] == 12
    nearest = json.loads(found[2])["photos"][0]
    assert nearest["value"] == 0 and nearest["before"] and photo[0] == 200 and text[0] == 400
    assert before == {path: path.read_bytes() for path in [*fit.out.iterdir(), *folder.rglob("*.*")]}
