// Code, tables and formulas that are wider than the screen scroll inside themselves. Let the
// keyboard reach those that do scroll on this screen, and only those.
const scrollers = "pre, .math-scroll, .output_html, .initguide-table, .table-wrapper";

function markScrollable() {
  for (const element of document.querySelectorAll(scrollers)) {
    if (
      element.scrollWidth > element.clientWidth ||
      element.scrollHeight > element.clientHeight + 1
    ) {
      element.setAttribute("tabindex", "0");
    } else {
      element.removeAttribute("tabindex");
    }
  }
}

markScrollable();
window.addEventListener("load", markScrollable);
window.addEventListener("resize", markScrollable);

// A browser does not scroll a link into sight of which half a pixel can be seen already.
document.addEventListener("focusin", ({ target }) => {
  if (target.parentElement?.closest(scrollers)) {
    target.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
});
