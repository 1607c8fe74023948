"use strict";
// The text stands in the page once, in blocks; its numbers are in #data, a line of base64 for each block: deflated
// little-endian arrays, in the order of meta.fields. Blocks near the window get an element for each token, others are text.
(() => {
  const $ = (id) => document.getElementById(id);
  if (!window.DecompressionStream || !Array.prototype.toReversed) {
    $("hint").textContent = "This browser is too old to show more than the bare text.";
    return;
  }
  const meta = JSON.parse($("meta").textContent);
  const lines = $("data").textContent.trim().split("\n");
  $("data").remove();
  const main = $("text");
  const OOV = 1, END = 2, INFINITE = 65535;
  const PRINTED = 100000; // tokens that are printed in colours: each is an element
  const BLANKS = /^[ \t\n\r\0]+/;
  let view = meta.views[0];
  let current = null; // {block, i, told}: the token that takes the focus, and whether it has been described

  const element = (name, text = "", type = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    if (type) made.className = type;
    return made;
  };

  // ---- numbers

  let start = 0;
  const blocks = [...main.querySelectorAll(".b")].map((div, number) => {
    const block = { div, number, start, size: meta.sizes[number], text: div.textContent, data: null, shown: false };
    const rows = block.text.split("\n").length + block.text.length / 90;
    div.style.setProperty("--tall", `${Math.round(rows * 26)}px`);
    div.block = block;
    start += block.size;
    block.printed = start <= PRINTED;
    return block;
  });

  async function inflate(line) {
    const packed = Uint8Array.from(atob(line), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  function unpacked(buffer, size) {
    const kinds = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i1: Int8Array };
    const data = {};
    let at = 0;
    for (const [name, kind, width] of meta.fields) {
      const bytes = size * width * kinds[kind].BYTES_PER_ELEMENT;
      data[name] = new kinds[kind](buffer.slice(at, at + bytes));
      at += bytes;
    }
    return data;
  }

  async function load(block) {
    block.loading ??= inflate(lines[block.number]).then((buffer) => {
      block.data = unpacked(buffer, block.size);
    });
    await block.loading;
  }

  const restored = (stored) => (stored === INFINITE ? Infinity : stored / meta.unit);
  const bits = (block, model, i) => restored(block.data[`bits${model}`][i]);

  // Returns what gives the number of each token of a block that a view shows.
  function reader(block, what) {
    if (what.kind === "unit") {
      const { units } = block.data, width = meta.units.length;
      return (i) => units[i * width + what.index] / 127;
    }
    if (what.kind === "surprisal") {
      const stored = block.data[`bits${what.index}`];
      return (i) => restored(stored[i]);
    }
    const { bits0, bits1 } = block.data;
    return (i) => (bits0[i] === bits1[i] ? 0 : restored(bits1[i]) - restored(bits0[i]));
  }

  function level(value, what) {
    const { bounds } = meta.scales[what.kind], size = Math.abs(value);
    let away = 0;
    while (away < bounds.length && bounds[away] <= size) away++;
    return what.kind === "surprisal" ? away : bounds.length + (value < 0 ? -away : away);
  }

  // ---- text

  function spans(block, what) {
    const made = document.createDocumentFragment();
    const letter = what.kind === "surprisal" ? "s" : "d";
    const number = reader(block, what), { flags, lengths } = block.data;
    block.tokens = [];
    let at = 0, held = "";
    for (let i = 0; i < block.size; i++) {
      const text = block.text.slice(at, (at += lengths[i]));
      if (text && held) {
        made.append(held);
        held = "";
      }
      const token = document.createElement("span");
      token.className = `t ${letter}${level(number(i), what)}${flags[i] & OOV ? " oov" : ""}`;
      token.index = i;
      block.tokens.push(token);
      const blank = BLANKS.exec(text)?.[0] ?? "";
      if (!text) {
        token.dataset.sign = flags[i] & END ? "¶" : meta.joined;
      } else if (blank.length < text.length) {
        made.append(blank);
        token.textContent = text.slice(blank.length);
      } else if (text.endsWith("\n")) {
        made.append(text.slice(0, -1));
        token.dataset.sign = "↵";
        held = "\n"; // the line breaks behind the signs that still belong to it
      } else {
        token.textContent = text;
      }
      made.append(token);
    }
    made.append(held + block.text.slice(at));
    return made;
  }

  function draw(block) {
    if (view.kind === "both") {
      block.div.classList.add("pair");
      const columns = meta.models.map((model, index) => {
        const column = element("div", "", "column");
        column.dataset.name = model.name;
        return column;
      });
      columns[1].append(spans(block, { kind: "surprisal", index: 1 }));
      columns[1].setAttribute("aria-hidden", "true");
      columns[0].append(spans(block, { kind: "surprisal", index: 0 })); // whose tokens are those that can be chosen
      block.div.replaceChildren(...columns);
    } else {
      block.div.classList.remove("pair");
      block.div.replaceChildren(spans(block, view));
    }
    block.shown = true;
    if (current?.block === block) mark();
  }

  function erase(block) {
    block.shown = false;
    block.tokens = null;
    block.div.classList.remove("pair");
    block.div.textContent = block.text;
    if (current?.block !== block) forget(block);
  }

  function forget(block) {
    if (!block.printed) block.data = block.loading = null;
  }

  async function show(block) {
    await load(block);
    if (!block.shown) draw(block);
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const block = target.block;
      block.near = isIntersecting;
      if (isIntersecting) {
        show(block).then(() => {
          if (!current && block.number === 0) choose(block, 0, "quiet");
        });
      } else if (block.shown && !block.div.contains(document.activeElement)) {
        erase(block);
      }
    }
  }, { rootMargin: "800px 0px" });

  // Who prints does not wait, and to inflate takes a while: the numbers of all that is printed are kept.
  (async () => {
    for (const block of blocks) if (block.printed) await load(block);
  })();
  if (start > PRINTED) {
    const last = blocks.findLast((block) => block.printed);
    $("printed").textContent = `In colours on paper: the first ${(last.start + last.size).toLocaleString("en")} tokens.`;
    $("printed").hidden = false;
  }
  addEventListener("beforeprint", () => {
    for (const block of blocks) if (block.printed && block.data && !block.shown) draw(block);
  });
  addEventListener("afterprint", () => {
    for (const block of blocks) if (block.shown && !block.near && block !== current?.block) erase(block);
  });

  // ---- one token

  const percent = (p) =>
    p === 0 ? "0" : p >= 0.001 ? `${+(100 * p).toPrecision(3)} %` : `1 in ${Math.round(1 / p).toLocaleString("en")}`;
  const decimals = (x) => (Number.isFinite(x) ? x.toFixed(2) : "infinite");

  function named(block, i) {
    let at = 0;
    for (let k = 0; k < i; k++) at += block.data.lengths[k];
    const text = block.text.slice(at, at + block.data.lengths[i]);
    const core = text.replace(BLANKS, "");
    if (core) return [core, core];
    if (!text) return block.data.flags[i] & END ? ["¶", "end of the sentence"] : [meta.joined, meta.joinedName];
    if (text.endsWith("\n")) return ["↵", "end of the line"];
    if (text.includes("\t")) return ["→", "tab"];
    return ["␣".repeat(text.length), text.length > 1 ? `${text.length} blanks` : "blank"];
  }

  function facts(block, i) {
    const rows = [["probability"], ["surprisal, bits"], ["rank"], ["n-gram order"], ["share of all"]];
    meta.models.forEach((model, m) => {
      const own = bits(block, m, i);
      rows[0].push(percent(2 ** -own));
      rows[1].push(decimals(own));
      rows[2].push(`${block.data[`rank${m}`][i].toLocaleString("en")} of ${model.vocabulary.toLocaleString("en")}`);
      rows[3].push(model.order ? `${block.data[`order${m}`][i]} of ${model.order}` : "");
      rows[4].push(model.bits ? `${+((100 * own) / model.bits).toPrecision(2)} %` : "");
    });
    if (meta.models.length > 1) {
      const difference = bits(block, 1, i) - bits(block, 0, i);
      rows.splice(2, 0, ["difference", "", Number.isFinite(difference) ? `${difference < 0 ? "−" : "+"}${decimals(Math.abs(difference))}` : ""]);
    }
    meta.units.forEach((unit, index) => {
      rows.push([`unit ${unit}`, (block.data.units[i * meta.units.length + index] / 127).toFixed(2)]);
    });
    return rows.filter((row) => row.slice(1).some((cell) => cell));
  }

  function alternatives(block, i, m) {
    const list = document.createElement("ol");
    const model = meta.models[m], width = model.top;
    for (let k = 0; k < width; k++) {
      const item = document.createElement("li");
      const hit = block.data[`hit${m}`][i] === k;
      const p = hit ? 2 ** -bits(block, m, i) : 2 ** (-block.data[`topBits${m}`][i * width + k] / meta.topUnit);
      const bar = document.createElement("span");
      bar.style.width = `${100 * p}%`;
      item.append(bar, element("code", model.tokens[block.data[`top${m}`][i * width + k]]), element("b", percent(p)));
      if (hit) item.className = "hit";
      list.append(item);
    }
    return list;
  }

  function describe(block, i) {
    const [shown] = named(block, i);
    $("hint").hidden = true;
    $("facts").hidden = false;
    $("token").textContent = shown;
    $("note").textContent =
      `${(block.start + i + 1).toLocaleString("en")} of ${start.toLocaleString("en")}` + (block.data.flags[i] & OOV ? ", out of vocabulary" : "");
    $("rows").replaceChildren(...facts(block, i).map(([name, ...cells]) => {
      const row = document.createElement("tr"), head = element("th", name);
      head.scope = "row";
      row.append(head, ...cells.map((cell) => element("td", cell)));
      return row;
    }));
    $("lists").replaceChildren(...meta.models.map((model, m) => {
      const part = document.createElement("section");
      part.append(element("h3", meta.models.length > 1 ? model.name : "most probable"), alternatives(block, i, m));
      return part;
    }));
  }

  function announce(block, i) {
    const words = facts(block, i).map(([name, ...cells]) => `${name} ${cells.filter((cell) => cell).join(" and ")}`);
    const best = meta.models.map((model, m) => model.tokens[block.data[`top${m}`][i * model.top]]).join(" and ");
    const unknown = block.data.flags[i] & OOV ? ", out of vocabulary" : "";
    $("say").textContent = `${named(block, i)[1]}${unknown}: ${words.join(", ")}, most probable ${best}`;
  }

  function mark() {
    const token = current.block.tokens[current.i];
    token.classList.toggle("current", current.told);
    token.tabIndex = 0;
    token.setAttribute("role", "button");
    token.setAttribute("aria-label", named(current.block, current.i)[1]);
    return token;
  }

  // how: "focus" the token, "stay" where the focus is, or say nothing yet ("quiet")
  function choose(block, i, how) {
    const before = current?.block, old = before?.tokens?.[current.i];
    if (old) {
      old.classList.remove("current");
      for (const name of ["tabindex", "role", "aria-label"]) old.removeAttribute(name);
    }
    current = { block, i, told: how !== "quiet" };
    const token = mark();
    if (how === "focus") {
      token.focus({ preventScroll: true }); // which describes it
    } else if (how === "stay") {
      describe(block, i);
      announce(block, i);
    }
    if (how !== "quiet") reveal(token);
    if (before && before !== block && before.shown && !before.near) erase(before);
  }

  function reveal(token) {
    const box = token.getBoundingClientRect();
    const top = $("bar").getBoundingClientRect().bottom;
    const sheet = getComputedStyle($("details")).position === "fixed" ? $("details").offsetHeight : 0;
    const bottom = innerHeight - sheet;
    if (box.top < top + 8 || box.bottom > bottom - 8) scrollBy(0, box.top - (top + bottom) / 2);
  }

  // ---- moves

  async function step(by, how) {
    let { block, i } = current;
    i += by;
    if (i < 0 || i >= block.size) {
      block = blocks[block.number + by];
      while (block && !block.size) block = blocks[block.number + by];
      if (!block) return;
      i = by < 0 ? block.size - 1 : 0;
    }
    await show(block);
    choose(block, i, how);
  }

  async function leap(by, how) {
    let { block, i } = current;
    const what = view.kind === "both" ? meta.views[0] : view;
    let number = reader(block, what);
    for (i += by; ; i += by) {
      while (i < 0 || i >= block.size) {
        if (!block.shown && block !== current.block) forget(block);
        block = blocks[block.number + by];
        if (!block) return;
        await load(block);
        number = reader(block, what);
        i = by < 0 ? block.size - 1 : 0;
      }
      if (Math.abs(number(i)) >= what.notable) break;
    }
    await show(block);
    choose(block, i, how);
  }

  async function vertical(by) {
    await show(current.block);
    const from = mark().getBoundingClientRect();
    let best = null, row = null;
    for (let k = current.block.number; k >= 0 && k < blocks.length; k += by) {
      const block = blocks[k];
      await show(block);
      for (const token of by < 0 ? block.tokens.toReversed() : block.tokens) {
        const box = token.getClientRects()[0];
        if (!box || by * (box.top - from.top) < from.height / 2) continue;
        if (row === null) row = box.top;
        if (Math.abs(box.top - row) > from.height / 2) return best && choose(best.block, best.i, "focus");
        const distance = Math.abs(box.left - from.left);
        if (best === null || distance < best.distance) best = { block, i: token.index, distance };
      }
      if (best) break;
    }
    if (best) choose(best.block, best.i, "focus");
  }

  async function edge(block, last) {
    await show(block);
    choose(block, last ? block.size - 1 : 0, "focus");
  }

  const keys = {
    ArrowRight: () => step(1, "focus"),
    ArrowLeft: () => step(-1, "focus"),
    ArrowDown: () => vertical(1),
    ArrowUp: () => vertical(-1),
    Home: () => edge(blocks.find((block) => block.size), false),
    End: () => edge(blocks.findLast((block) => block.size), true),
    n: () => leap(1, "focus"),
    p: () => leap(-1, "focus"),
  };

  let busy = Promise.resolve(); // keys that repeat wait for each other
  main.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !keys[event.key] || !current) return;
    event.preventDefault();
    busy = busy.then(keys[event.key]);
  });

  const under = (event) => {
    const token = event.target.closest?.(".t");
    return token && { block: token.closest(".b").block, i: token.index };
  };
  main.addEventListener("pointerover", (event) => {
    const found = under(event);
    if (found && event.pointerType !== "touch") describe(found.block, found.i);
  });
  main.addEventListener("pointerleave", () => {
    if (current?.told) describe(current.block, current.i);
  });
  main.addEventListener("click", (event) => {
    const found = under(event);
    if (found && getSelection().isCollapsed) choose(found.block, found.i, "focus");
  });
  main.addEventListener("focusin", (event) => {
    const found = under(event);
    if (found) {
      current.told = true;
      mark();
      describe(found.block, found.i);
      announce(found.block, found.i);
    }
  });
  for (const [id, move] of [["back", () => step(-1, "stay")], ["forth", () => step(1, "stay")], ["leap", () => leap(1, "stay")]]) {
    $(id).addEventListener("click", () => {
      if (current) busy = busy.then(move);
    });
  }

  // ---- colours

  function legend() {
    const what = view.kind === "both" ? { kind: "surprisal" } : view;
    const scale = meta.scales[what.kind];
    const letter = what.kind === "surprisal" ? "s" : "d";
    $("scale").textContent = view.meaning;
    $("legend").replaceChildren(...scale.labels.map((label, index) => element("li", label, letter + index)));
  }

  meta.views.forEach((each, index) => {
    const option = element("option", each.name);
    option.value = index;
    $("view").append(option);
  });
  $("view").addEventListener("change", () => {
    view = meta.views[$("view").value];
    legend();
    for (const block of blocks) if (block.shown) draw(block);
    if (current?.told) describe(current.block, current.i);
  });
  if (meta.models.length > 1) {
    const row = document.createElement("tr");
    row.append(document.createElement("td"), ...meta.models.map((model) => element("th", model.name)));
    $("heads").append(row);
    document.body.classList.add("two");
  }
  legend();
  for (const block of blocks) watcher.observe(block.div);
})();
