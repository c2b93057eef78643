// On narrow screens furo hides its two sidebars in drawers. They are opened by labels of hidden
// checkboxes, which only a mouse can use. Put a button in the place of each label.
const drawers = [
  { labels: ".nav-overlay-icon", drawer: "site-navigation" },
  { labels: ".toc-overlay-icon", drawer: "on-this-page" },
];

for (const { labels, drawer } of drawers) {
  const panel = document.getElementById(drawer);
  if (!panel) continue;
  let box;
  let opener; // the button that was used, which gets the focus back
  const buttons = [];

  const update = () => {
    for (const button of buttons) button.setAttribute("aria-expanded", box.checked);
  };
  const set = (open) => {
    box.checked = open;
    update();
  };

  for (const label of document.querySelectorAll(labels)) {
    box = label.control;
    const button = document.createElement("button");
    button.type = "button";
    button.className = label.className;
    button.setAttribute("aria-label", panel.getAttribute("aria-label"));
    button.setAttribute("aria-controls", drawer);
    button.append(...label.childNodes);
    button.addEventListener("click", () => {
      opener = button;
      set(true);
      const controls = [...panel.querySelectorAll("a[href], input, button")];
      controls.find((control) => control.checkVisibility())?.focus();
    });
    label.replaceWith(button);
    buttons.push(button);
  }
  if (!box) continue;
  update();

  box.addEventListener("change", update); // a click beside the open drawer
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && box.checked) {
      set(false);
      opener?.focus();
    }
  });
  panel.addEventListener("focusout", (event) => {
    // Where the focus goes nowhere, a link was clicked, or something that cannot have it.
    if (event.relatedTarget && !panel.contains(event.relatedTarget)) set(false);
  });
  panel.addEventListener("click", (event) => {
    if (event.target.closest('a[href^="#"]')) set(false); // the text is behind the drawer
  });
}
