// Evaluated in the page: the contrast (WCAG 2.2, 1.4.3 and 1.4.11) of all text and bars that are shown, the worst first.
(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const channels = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (color) => {
    const [red, green, blue] = channels(color)
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ratio = (a, b) => {
    const [light, dark] = [luminance(a), luminance(b)].toSorted((m, n) => n - m);
    return (light + 0.05) / (dark + 0.05);
  };
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (channels(color)[3] === 255) return color;
    }
    return 'white';
  };
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '');
  const shown = (element) => element.checkVisibility() && !element.closest('.hidden, option, title');
  const found = [...document.querySelectorAll('body *')].filter(shown).flatMap((element) => {
    const of = (kind, color) => ({
      kind,
      what: `${element.tagName} ${element.className}`,
      ratio: ratio(color, background(element)),
    });
    if (element.tagName === 'rect') return [of('graphic', getComputedStyle(element).fill)];
    if (element.tagName === 'INPUT') return [of('text', getComputedStyle(element, '::placeholder').color)];
    return hasText(element) ? [of('text', getComputedStyle(element).color)] : [];
  });
  return found.toSorted((a, b) => a.ratio - b.ratio);
})();
