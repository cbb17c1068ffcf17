// Runs in a page whose frames show the report at several widths, and writes its measurements as JSON.
const luminance = color => {
  const parts = color.match(/[\d.]+/g).slice(0, 3).map(part => part / 255);
  const linear = parts.map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const contrast = (one, other) => {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const measureFigure = (page, figure) => {
  const view = page.defaultView;
  const svg = figure.querySelector("svg");
  const box = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")];
  const cut = texts.filter(text => {
    const found = text.getBoundingClientRect();
    return found.left < box.left - 1 || found.right > box.right + 1 || found.top < box.top - 1 || found.bottom > box.bottom + 1;
  });
  const letters = texts.map(text => parseFloat(view.getComputedStyle(text).fontSize) * box.width / svg.viewBox.baseVal.width);
  const surface = view.getComputedStyle(figure).backgroundColor;
  const marks = {};
  let faint = [];
  for (const element of svg.querySelectorAll("circle, rect, text")) {
    const name = `${element.tagName}.${element.getAttribute("class")}`;
    marks[name] = (marks[name] ?? 0) + 1;
    const style = view.getComputedStyle(element);
    const color = element.getAttribute("class").startsWith("stroke") ? style.stroke : style.fill;
    if (contrast(color, surface) < 3) faint.push(name);
  }
  // Lines are counted only: those of the grid are faint on purpose.
  for (const line of svg.querySelectorAll("polyline")) {
    const name = `polyline.${line.getAttribute("class")}`;
    marks[name] = (marks[name] ?? 0) + 1;
  }
  return {
    id: figure.id, width: box.width, height: box.height, marks, faint: [...new Set(faint)],
    cut: cut.map(text => text.textContent.trim()), letters: Math.min(...letters),
  };
};
const measurePage = frame => {
  const page = frame.contentDocument;
  const background = frame.contentWindow.getComputedStyle(page.body).backgroundColor;
  return {
    width: frame.clientWidth, contentWidth: page.documentElement.scrollWidth, isDark: luminance(background) < 0.2,
    figures: [...page.querySelectorAll("figure")].map(figure => measureFigure(page, figure)),
  };
};
addEventListener("load", () => {
  const measured = [...document.querySelectorAll("iframe")].map(measurePage);
  const result = document.createElement("pre");
  result.id = "measured";
  result.textContent = JSON.stringify(measured);
  document.body.replaceChildren(result);
});
