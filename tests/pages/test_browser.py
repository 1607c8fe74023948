"""Pages in Chromium: what people meet there. Skipped where Chromium or its driver is missing."""

import functools
import json
import shutil

import pytest
from test_contract import recurrent
from texts import COWS

import lmkit
from lmkit import api
from lmkit.text import TextLayer, TextSettings, Vocabulary

webdriver = pytest.importorskip("selenium.webdriver")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver")

NASTY = "<script>document.title='caught'</script>\n</script></div> &amp; \u2028 \x1b[31m\n\ncows eat corn\n"
DRAWN = "document.querySelectorAll('.t').length > 0"


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


class Tab:
    """A page in the browser."""

    def __init__(self, driver, path, width, dark):
        self.driver, self.run = driver, driver.execute_script
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        driver.get_log("browser")
        driver.get_log("performance")
        self.url = path.as_uri()
        driver.get(self.url)
        self.until(DRAWN)

    def until(self, condition):
        """Wait until an expression is true."""
        self.driver.execute_async_script(
            f"const done = arguments[0]; const ask = () => {condition} ? done() : setTimeout(ask, 10); ask()"
        )

    def text(self, selector):
        return self.run(f"return document.querySelector({json.dumps(selector)}).innerText")

    def facts(self):
        return self.run(
            "return Object.fromEntries([...document.querySelectorAll('#rows tr')].map((row) => "
            "[...row.children].map((cell) => cell.textContent)).map(([name, ...cells]) => [name, cells]))"
        )

    def key(self, name):
        """Press a key where the focus is, and wait until the page has done what it does."""
        self.driver.execute_async_script(
            "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', "
            "{ key: arguments[0], bubbles: true, cancelable: true })); setTimeout(arguments[1], 60)", name,
        )  # fmt: skip

    def focused(self):
        return self.run("return document.activeElement.index")

    def point_at(self, number):
        self.run(
            "document.querySelectorAll('.t')[arguments[0]].dispatchEvent("
            "new PointerEvent('pointerover', { bubbles: true, pointerType: 'mouse' }))", number,
        )  # fmt: skip

    def place(self, number):
        """Return the middle of a token."""
        return self.run(
            "const box = document.querySelectorAll('.t')[arguments[0]].getBoundingClientRect(); "
            "return { x: box.left + box.width / 2, y: box.top + box.height / 2 }", number,
        )  # fmt: skip

    def event(self, kind, **what):
        """Let the browser have an event as from a mouse, a keyboard or a finger."""
        self.driver.execute_cdp_cmd(f"Input.dispatch{kind}", what)

    def choose_view(self, number):
        self.run(
            "const view = document.getElementById('view'); view.value = arguments[0]; "
            "view.dispatchEvent(new Event('change'))", number,
        )  # fmt: skip


@pytest.fixture
def show(browser, tmp_path):
    """Show what a model makes of a text."""

    def show(model, text, width=1280, dark=False, **options):
        path = tmp_path / "page.html"
        path.write_bytes(b"".join(lmkit.explain_page(model, ("text", text.encode()), **options)))
        return Tab(browser, path, width, dark)

    return show


@functools.cache
def trained(order=3):
    return lmkit.train(("t", (COWS * 5).encode()), tokenizer="char", smoothing="add-k", order=order)


@functools.cache
def network():
    tokens = sorted(set(COWS))
    made = recurrent("lstm", 2, tokens=tokens)
    made.text = TextLayer(TextSettings("char"), Vocabulary.from_tokens(tokens))
    return api.Model(made)


def test_it_runs_alone_and_without_a_word(show, browser):
    tab = show(trained(), NASTY)
    tab.point_at(3)
    requests = [
        message["params"]["request"]["url"]
        for message in (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in requests if not url.startswith("data:")] == [tab.url]
    assert browser.get_log("browser") == []
    assert browser.title == "text: surprisal"


def test_its_policy_stops_what_is_not_its_own(show, browser):
    """The check that the policy is in force: a script that gets in by whatever way does not run."""
    tab = show(trained(), COWS)
    tab.run("const s = document.createElement('script'); s.textContent = 'document.title = 1'; document.body.append(s)")
    tab.run("const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i)")
    assert browser.title == "text: surprisal"
    assert len([entry for entry in browser.get_log("browser") if "Content Security Policy" in entry["message"]]) == 2


def test_text_stays_text(show):
    tab = show(trained(), NASTY)
    shown = NASTY.replace("\u2028", "\\u2028").replace("\x1b", "␛")
    assert tab.run("return [...document.querySelectorAll('.b')].map((b) => b.textContent).join('')") == shown
    tokens = tab.run("return [...document.querySelectorAll('.t')].map((t) => t.dataset.sign || t.textContent)")
    assert "".join(tokens).startswith("<script>document.title='caught'</script>↵</script>")


def test_pointing_focusing_and_tapping_show_a_token(show):
    """By what people do: the pointer moves, the key Tab is pressed, a finger taps."""
    model = trained()
    tab = show(model, COWS)
    ids = model.text.encode_text(COWS).ids
    log_p, _ = model.score(model.begin(), ids[None])
    tab.event("MouseEvent", type="mouseMoved", **tab.place(2))
    tab.until("document.getElementById('token').textContent === 'w'")
    assert tab.text("#note") == f"3 of {len(ids)}"
    facts = tab.facts()
    assert facts["surprisal, bits"] == [f"{-log_p[0, 2] / 0.693147:.2f}"]
    assert facts["rank"] == [f"1 of {model.vocabulary_size - 1}"] and facts["n-gram order"] == ["3 of 3"]
    assert set(facts) == {"probability", "surprisal, bits", "rank", "n-gram order", "share of all"}
    assert tab.run("return document.querySelectorAll('#lists li').length") == 5
    assert tab.text("#lists .hit code") == "w"
    tab.run("document.getElementById('view').focus()")
    for kind in ("keyDown", "keyUp"):
        tab.event("KeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    tab.until("document.activeElement.index === 0")
    assert tab.text("#token") == "c" and tab.text("#say").startswith("c: probability ")
    tab.event("TouchEvent", type="touchStart", touchPoints=[tab.place(8)])
    tab.event("TouchEvent", type="touchEnd", touchPoints=[])
    tab.until("document.activeElement.index === 8")
    assert tab.text("#token") == "␣" and tab.text("#say").startswith("blank: probability ")


def test_one_tab_stop_and_keys(show):
    tab = show(trained(), COWS)
    assert tab.run("return document.getElementById('facts').offsetHeight") == 0
    assert tab.run("return document.querySelectorAll('.current').length") == 0
    stops = "return document.querySelectorAll('#text [tabindex]').length"
    assert tab.run(stops) == 1
    tab.run("document.querySelector('.t[tabindex]').focus()")
    for key, expected in (
        ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("ArrowDown", 15), ("ArrowDown", 29), ("ArrowUp", 15),
        ("Home", 0), ("ArrowLeft", 0), ("ArrowUp", 0),
    ):  # fmt: skip
        tab.key(key)
        assert tab.focused() == expected, key
    assert tab.run(stops) == 1
    tab.key("End")
    assert tab.focused() == tab.run("return document.querySelectorAll('.t').length") - 1
    assert tab.run("return document.activeElement.getAttribute('aria-label')") == "end of the sentence"
    tab.key("ArrowRight")
    assert tab.run("return document.activeElement.getAttribute('aria-label')") == "end of the sentence"
    tab.key("Home")
    tab.key("n")
    bits = float(tab.facts()["surprisal, bits"][0])
    tab.key("n")
    assert bits > 1 and float(tab.facts()["surprisal, bits"][0]) > 1


def test_buttons_move_and_speak_but_keep_the_focus(show):
    tab = show(trained(), COWS)
    tab.run("document.getElementById('forth').focus(); document.getElementById('forth').click()")
    tab.until("document.getElementById('say').textContent.startsWith('o')")
    assert tab.run("return document.activeElement.id") == "forth" and tab.text("#token") == "o"
    tab.run("document.getElementById('back').click()")
    tab.until("document.getElementById('say').textContent.startsWith('c')")


def test_a_long_text_is_drawn_where_one_looks(show):
    tab = show(trained(), COWS * 1500)
    assert tab.run("return document.querySelectorAll('.b').length") > 150
    assert tab.run("return document.querySelectorAll('*').length") < 15_000
    tab.run("scrollTo(0, document.documentElement.scrollHeight)")
    tab.until("[...document.querySelectorAll('.b')].at(-1).querySelector('.t')")
    tab.until("document.querySelectorAll('*').length < 15000")
    assert tab.run("return [...document.querySelectorAll('.b')].map((b) => b.textContent).join('')") == COWS * 1500
    tab.run("document.getElementById('leap').click()")  # from the first token, which is far away
    tab.until("!document.getElementById('facts').hidden")
    assert tab.run("return document.querySelectorAll('.current').length") == 1


def test_paper_has_the_colours_of_all(show):
    text = COWS * 200
    tab = show(trained(), text)
    count = "return document.querySelectorAll('.t').length"
    tab.until("performance.now() > 1500")  # by then all numbers are there
    before = tab.run(count)
    tab.run("dispatchEvent(new Event('beforeprint'))")
    assert before < len(text) <= tab.run(count)
    assert tab.run("return [...document.querySelectorAll('.b')].map((b) => b.textContent).join('')") == text
    assert tab.run("return getComputedStyle(document.getElementById('printed')).display") == "none"
    tab.run("dispatchEvent(new Event('afterprint'))")
    assert tab.run(count) <= before
    media = [{"name": "prefers-color-scheme", "value": "light"}]
    tab.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": media})
    assert tab.run("return getComputedStyle(document.querySelector('.t')).printColorAdjust") == "exact"
    assert tab.run("return getComputedStyle(document.getElementById('details')).display") == "none"
    tab.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": media})


def test_without_scripts_the_text_can_be_read(show, browser):
    tab = show(trained(), NASTY)
    try:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        browser.get(tab.url)
        body = browser.find_element("tag name", "body").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "cows eat corn" in body and "Without JavaScript this page shows the bare text." in body
    assert "Next notable" not in body and "Colour by" not in body


@pytest.mark.parametrize("width", [1280, 360])
def test_two_models(show, browser, width):
    tab = show(trained(), COWS, width=width, against=trained(2))
    assert tab.run("return [...document.querySelectorAll('#view option')].map((o) => o.textContent)") == [
        "difference", "both, side by side", "model 1", "model 2",
    ]  # fmt: skip
    assert tab.run("return document.querySelectorAll('.t.d4').length") > 0
    tab.point_at(5)
    facts = tab.facts()
    bits = [float(number) for number in facts["surprisal, bits"]]
    assert float(facts["difference"][1].replace("−", "-")) == pytest.approx(bits[1] - bits[0], abs=0.02)
    tab.choose_view(1)
    lefts = tab.run("return [...document.querySelectorAll('.column')].map((c) => c.getBoundingClientRect().left)")
    assert len(lefts) == 2 and (lefts[0] < lefts[1] if width > 1000 else lefts[0] == lefts[1])
    assert tab.run("return document.querySelectorAll('.column[aria-hidden] [tabindex]').length") == 0
    assert browser.get_log("browser") == []


def test_units_of_a_network(show):
    tab = show(network(), COWS, units="2.1,1.4")
    tab.choose_view(1)
    assert tab.text("#scale").startswith("activation, r = ")
    levels = tab.run("return [...document.querySelectorAll('.t')].map((t) => t.className)")
    assert len({level for level in levels if level.startswith("t d")}) >= 3
    tab.point_at(3)
    _, [(_, held)] = lmkit.neurons(network(), ("text", COWS.encode()), "2.1,1.4")
    facts = tab.facts()
    assert float(facts["unit 2.1"][0]) == pytest.approx(held[0, 3], abs=0.01)
    assert float(facts["unit 1.4"][0]) == pytest.approx(held[1, 3], abs=0.01)
    assert "n-gram order" not in facts


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_and_everything_contrasts(show, width, dark):
    tab = show(trained(), COWS * 3, width=width, dark=dark, against=trained(2))
    tab.run("document.querySelectorAll('.t')[5].click()")
    assert tab.run("return document.documentElement.scrollWidth") <= width
    worst = tab.run("""
        const numbers = (c) => c.match(/[\\d.]+/g).map(Number);
        const light = (c) => numbers(c).slice(0, 3).map((v) => v / 255).map((v) =>
            v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) =>
            s + v * [0.2126, 0.7152, 0.0722][i], 0);
        const ground = (e) => {
            while (e) {
                const c = getComputedStyle(e).backgroundColor;
                if (numbers(c)[3] !== 0) return c;
                e = e.parentElement;
            }
            return 'rgb(255, 255, 255)';
        };
        let worst = 21;
        for (const e of document.querySelectorAll('body *')) {
            if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || e.tagName === 'SCRIPT') continue;
            const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
            worst = Math.min(worst, (a + 0.05) / (b + 0.05));
        }
        return worst;
    """)
    assert worst >= 4.5
    overlapping = tab.run("""
        const boxes = [...document.querySelectorAll('header, #bar, #text')].map((e) => e.getBoundingClientRect());
        return boxes.some((box, i) => i && box.top < boxes[i - 1].bottom - 1);
    """)
    assert not overlapping
