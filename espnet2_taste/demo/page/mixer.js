// A button and a slider for each word. The value is {words, amounts, own, other}; texts
// go in as text, never as markup.
const box = element.querySelector("fieldset");

function set(index, amount) {
  const amounts = [...props.value.amounts];
  amounts[index] = amount;
  props.value = { ...props.value, amounts };
}

function row(value, word, index) {
  const line = document.createElement("div");
  const button = document.createElement("button");
  const slider = document.createElement("input");
  const shown = document.createElement("output");
  button.type = "button";
  button.textContent = word;
  Object.assign(slider, { type: "range", min: 0, max: 100, step: 5 });
  slider.setAttribute("aria-label", `${word}: how much of ${value.other}, percent`);
  const show = () => {
    shown.textContent = `${slider.value} %`;
    button.setAttribute("aria-pressed", String(slider.value === "100"));
    button.title = `${word}: codes of ${slider.value === "100" ? value.own : value.other}`;
    line.style.setProperty("--amount", slider.value / 100);
  };
  slider.value = Math.round(100 * value.amounts[index]);
  slider.addEventListener("input", () => {
    show();
    set(index, slider.value / 100);
  });
  button.addEventListener("click", () => {
    slider.value = slider.value === "100" ? 0 : 100;
    show();
    set(index, slider.value / 100);
  });
  show();
  line.append(button, slider, shown);
  return line;
}

function draw() {
  const value = props.value;
  const words = value ? value.words : [];
  box.hidden = !words.length;
  box.querySelector("legend").textContent = value ? value.legend : "";
  box.querySelector("div").replaceChildren(...words.map((w, i) => row(value, w, i)));
}

watch("value", draw);
draw();
