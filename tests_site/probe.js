// What the checks ask of a page, from the inside. Each function returns plain values; `faults` are
// sentences. Loaded into a page as the object `probe`.
(() => {
  const interactive =
    "a[href], area[href], button, input:not([type=hidden]), select, textarea, summary, " +
    "iframe, audio[controls], video[controls], [contenteditable], [tabindex], [onclick], label[for], " +
    "[role=button], [role=link], [role=checkbox], [role=switch], [role=tab], [role=menuitem]";

  const main = "main, [role=main]";

  const visible = (element) =>
    element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true }) &&
    [...element.getClientRects()].some((box) => box.width > 0 && box.height > 0);

  const describe = (element) => {
    const words = (element.getAttribute("aria-label") || element.textContent || "").trim();
    const start = element.cloneNode(false).outerHTML.replace(/<\/[^<]*$/, "");
    return `${start.slice(0, 160)} "${words.replace(/\s+/g, " ").slice(0, 40)}"`;
  };

  // Scroll from top to bottom, so that lazy images load, and wait until all are decoded.
  async function settle() {
    const root = document.documentElement;
    for (let y = 0; y < root.scrollHeight; y += Math.max(200, innerHeight / 2)) {
      scrollTo({ top: y, behavior: "instant" });
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    }
    await document.fonts.ready;
    const shown = [...document.images].filter(visible);
    const patience = new Promise((done) => setTimeout(done, 10000));
    await Promise.race([
      Promise.all(shown.map((image) => image.decode().catch(() => null))),
      patience,
    ]);
    scrollTo({ top: 0, behavior: "instant" });
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  }

  function unfold() {
    for (const details of document.querySelectorAll("details")) details.open = true;
  }

  // Every image says what it shows, and those on the screen are really there.
  function images() {
    const faults = [];
    for (const image of document.images) {
      if (!(image.getAttribute("alt") || "").trim()) {
        faults.push(`an image has no alt text: ${describe(image)}`);
      }
      if (visible(image) && !(image.complete && image.naturalWidth > 0)) {
        faults.push(`an image does not decode: ${describe(image)}`);
      }
    }
    return faults;
  }

  // Nothing reaches past the right edge, unless it scrolls in a box of its own. A box that holds the
  // whole text is no such box: scrolling it is scrolling the page.
  function overflow() {
    const faults = [];
    const width = document.documentElement.clientWidth;
    scrollTo({ left: 1e6, top: scrollY, behavior: "instant" });
    if (scrollX > 0) faults.push(`the page scrolls sideways by ${Math.round(scrollX)} pixels`);
    scrollTo({ left: 0, top: scrollY, behavior: "instant" });
    const contained = (element) => {
      for (let box = element.parentElement; box && box !== document.body; box = box.parentElement) {
        const clips = getComputedStyle(box).overflowX !== "visible";
        const holdsText = box.matches(main) || box.querySelector(main) !== null;
        if (clips && !holdsText && box.getBoundingClientRect().right <= width + 1) return true;
      }
      return false;
    };
    const found = [];
    for (const element of document.body.querySelectorAll("*")) {
      if (element.getBoundingClientRect().right <= width + 1 || !visible(element)) continue;
      if (found.some((outer) => outer.contains(element)) || contained(element)) continue;
      found.push(element);
    }
    for (const element of found.slice(0, 5)) {
      const right = Math.round(element.getBoundingClientRect().right);
      faults.push(`reaches to ${right} of ${width} pixels: ${describe(element)}`);
    }
    return faults;
  }

  async function axeFaults() {
    const result = await axe.run(document, {
      resultTypes: ["violations"],
      rules: { "target-size": { enabled: true } }, // WCAG 2.2 AA; axe leaves it off by itself
    });
    return result.violations.flatMap((violation) =>
      violation.nodes.slice(0, 5).map((node) => {
        const why = (node.failureSummary || "").replace(/\s+/g, " ").slice(0, 300);
        return `axe ${violation.id} (${violation.impact}): ${node.target.join(" ")}: ${why}`;
      }),
    );
  }

  // -- The keyboard -----------------------------------------------------------------------------

  const reached = new Set();
  let expected = [];

  // Elements that react to a mouse: those above, and whatever shows a hand.
  function clickable(scope) {
    const all = new Set([...scope.querySelectorAll(interactive)].filter(visible));
    for (const element of scope.querySelectorAll("*")) {
      const style = getComputedStyle(element);
      const parent = element.parentElement;
      const starts = style.cursor === "pointer" && getComputedStyle(parent).cursor !== "pointer";
      if (starts && visible(element)) all.add(element);
    }
    return [...all];
  }

  // Start anew, on the whole page or on the part with this id.
  function begin(id) {
    reached.clear();
    expected = clickable(id ? document.getElementById(id) : document);
  }

  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  canvas.width = canvas.height = 1;
  function rgba(color) {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = color;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  }
  function luminance([r, g, b]) {
    const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  }
  function contrast(one, other) {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  }
  function background(element) {
    for (let box = element; box; box = box.parentElement) {
      const color = rgba(getComputedStyle(box).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  }

  const hasSize = (element) =>
    [...element.getClientRects()].some((box) => box.width > 1 && box.height > 1);

  // WCAG 2.4.7 and 1.4.11: a ring of at least one pixel, three times as light or dark as its ground.
  function ring(element) {
    for (const part of [null, "::before", "::after"]) {
      const style = getComputedStyle(element, part);
      if (part ? style.content === "none" : !hasSize(element)) continue;
      if (style.outlineStyle === "auto") return true; // the browser's own, of two colours
      if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) continue;
      const color = rgba(style.outlineColor);
      if (color[3] > 127 && contrast(color, background(element.parentElement)) >= 3) return true;
    }
    return false;
  }

  // Where an element is. One without a size of its own may reach over its card by a pseudo-element.
  function boxes(element) {
    const own = [...element.getClientRects()].filter((box) => box.width > 1 && box.height > 1);
    return own.length ? own : [(element.offsetParent || element).getBoundingClientRect()];
  }

  function onScreen(element) {
    for (const box of boxes(element)) {
      for (const x of [0.5, 0.05, 0.95]) {
        for (const y of [0.5, 0.1, 0.9]) {
          const [x0, y0] = [box.left + x * box.width, box.top + y * box.height];
          const top = document.elementsFromPoint(x0, y0).find(opaque);
          const label = top && top.closest("label");
          if (top && (element.contains(top) || (label && label.control === element))) return true;
        }
      }
    }
    return false;
  }

  function opaque(element) {
    for (let box = element; box; box = box.parentElement) {
      if (parseFloat(getComputedStyle(box).opacity) < 0.5) return false;
    }
    return true;
  }

  // After a press of Tab: where the focus is now, and whether that can be seen.
  function focused() {
    const element = document.activeElement;
    if (!element || element === document.body || element === document.documentElement) return null;
    const again = reached.has(element);
    reached.add(element);
    const faults = [];
    if (!again) {
      const marked = [element, ...(element.labels || [])];
      if (!marked.some((part) => opaque(part) && ring(part))) {
        faults.push(`no visible focus: ${describe(element)}`);
      }
      if (!onScreen(element)) faults.push(`has the focus off the screen: ${describe(element)}`);
    }
    return { again, faults };
  }

  // What the mouse can use and the keyboard did not reach.
  function missed() {
    const groups = new Set([...reached].filter((e) => e.type === "radio").map((e) => e.name));
    const covered = (element) => {
      if (element.control && covered(element.control)) return true; // a label
      if (element.type === "radio" && groups.has(element.name)) return true; // by arrow keys
      for (let box = element; box; box = box.parentElement) if (reached.has(box)) return true;
      return false;
    };
    return expected
      .filter((element) => !covered(element))
      .filter((element) => element.getAttribute("tabindex") !== "-1" || element.matches("a, button"))
      .map((element) => `not reached by Tab: ${describe(element)}`);
  }

  // Buttons that open a part of the page, closed and on the screen.
  function openers() {
    return [...document.querySelectorAll("button[aria-controls][aria-expanded=false]")]
      .filter(visible)
      .map((button) => button.getAttribute("aria-controls"));
  }
  const opener = (id) =>
    [...document.querySelectorAll(`button[aria-controls="${id}"]`)].find(visible);

  function isOpen(id) {
    const target = document.getElementById(id);
    const box = target.getBoundingClientRect();
    return visible(target) && box.right > 1 && box.left < document.documentElement.clientWidth - 1;
  }

  window.probe = {
    settle, unfold, images, overflow, axeFaults, begin, focused, missed, openers, isOpen,
    focusOpener: (id) => opener(id).focus(),
    focusInside: (id) => [...reached].find((e) => document.getElementById(id).contains(e))?.focus(),
    openerHasFocus: (id) => document.activeElement === opener(id),
    focusIsIn: (id) => document.getElementById(id).contains(document.activeElement),
  };
})();
