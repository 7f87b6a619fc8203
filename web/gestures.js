// Keys, drops and tooltips: what the page reacts to besides its buttons.

/** Space or Enter toggles wherever no control has the focus; Escape is `onEscape`. */
export function bindKeys({ onToggle, onEscape }) {
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") onEscape();
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target !== document.body) return;
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    onToggle();
  });
}

/** Files dropped anywhere on the page; `veil` shows while one hovers and `isWelcome()`. */
export function bindDrops({ veil, isWelcome, onFile }) {
  const hasFile = ({ dataTransfer }) => [...(dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragover", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    veil.hidden = !isWelcome();
  });
  addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) veil.hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    veil.hidden = true;
    const [file] = event.dataTransfer.files;
    if (file && isWelcome()) onFile(file);
  });
}

/** Tooltips open by CSS on hover and focus; Escape closes them until the next visit. */
export function bindTips(figures) {
  for (const figure of figures) {
    for (const type of ["pointerenter", "focusin"]) figure.addEventListener(type, () => figure.classList.remove("dismissed"));
  }
  return { dismiss: () => figures.forEach((figure) => figure.classList.add("dismissed")) };
}

/** A `<details>` as a menu: closes on a click elsewhere, and on `dismiss()`. Opens only while `isEnabled()`. */
export function bindMenu(menu, isEnabled) {
  const summary = menu.querySelector("summary");
  summary.addEventListener("click", (event) => {
    if (!isEnabled()) event.preventDefault();
  });
  addEventListener("click", ({ target }) => {
    if (!menu.contains(target)) menu.open = false;
  });
  return {
    dismiss() {
      if (!menu.open) return;
      menu.open = false;
      summary.focus();
    },
  };
}
