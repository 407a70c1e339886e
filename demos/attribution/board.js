// Words and pictures answer each other: a word shows the pixels that it speaks of, a place in a picture the words that speak of it.
// What is chosen outlives new HTML: `word` is a span of characters [start, end], `place` a point of the picture, 0 to 1.
let word = null, place = null, of = null;
const decoded = new WeakMap();
// At most so many words are linked with a place, and none that has less than this share of the strongest one's value there.
const LINKED = 5, LEAST = 0.3;
const all = (node, selector) => [...node.querySelectorAll(selector)];

function mapsOf(reader) {
  if (!reader.dataset.maps) return null;
  if (!decoded.has(reader)) {
    const bytes = Uint8Array.from(atob(reader.dataset.maps), (c) => c.charCodeAt(0));
    decoded.set(reader, new Int16Array(bytes.buffer));
  }
  return decoded.get(reader);
}

function paint(reader, values, columns, rows) {
  const canvas = reader.querySelector('canvas'), style = getComputedStyle(reader);
  const [more, less] = ['--map-up', '--map-down'].map((name) => style.getPropertyValue(name).split(',').map(Number));
  const highest = Math.max(...values.map(Math.abs));
  [canvas.width, canvas.height] = [columns, rows];
  const context = canvas.getContext('2d'), image = context.createImageData(columns, rows);
  values.forEach((value, i) => {
    const share = highest ? Math.abs(value) / highest : 0;
    image.data.set([...(value > 0 ? more : less), Math.round(235 * share)], 4 * i);
  });
  context.putImageData(image, 0, 0);
  canvas.hidden = false;
  reader.querySelector('.shot').classList.add('mapped');
  return highest;
}

function showWord(reader, words, maps, columns, rows) {
  const hits = words.filter((one) => Number(one.dataset.start) < word[1] && word[0] < Number(one.dataset.end));
  hits.forEach((one) => { one.classList.add('chosen'); one.setAttribute('aria-pressed', 'true'); });
  if (!hits.length) return 'This model does not read that far.';
  const text = hits.map((one) => `“${one.textContent.length > 40 ? one.textContent.slice(0, 40) + '…' : one.textContent}” ${one.title}`);
  if (!maps) return `${text.join(', ')}. Its map is on the way …`;
  const values = Array(columns * rows).fill(0);
  hits.forEach((one) => values.forEach((_, i) => { values[i] += maps[one.dataset.unit * values.length + i]; }));
  return text.join(', ') + (paint(reader, values, columns, rows) ? '' : '. Covering parts of the picture changes nothing about it.');
}

function showPlace(reader, words, maps, columns, rows) {
  if (!maps) return 'The maps are on the way …';
  const [column, row] = [Math.floor(place[0] * columns), Math.floor(place[1] * rows)];
  const cell = reader.querySelector('.cell');
  cell.hidden = false;
  Object.assign(cell.style, {
    left: `${100 * column / columns}%`, top: `${100 * row / rows}%`, width: `${100 / columns}%`, height: `${100 / rows}%`,
  });
  const strength = (one) => maps[one.dataset.unit * columns * rows + row * columns + column];
  const spoken = (one) => /[\p{L}\p{N}\p{Extended_Pictographic}]/u.test(one.textContent);
  const strongest = words.filter((one) => strength(one) > 0 && spoken(one)).sort((a, b) => strength(b) - strength(a));
  const found = strongest.slice(0, LINKED).filter((one) => strength(one) >= LEAST * strength(strongest[0]));
  found.forEach((one) => one.classList.add('linked'));
  return found.length ? `Speak most of this place: ${[...new Set(found.map((one) => one.textContent))].join(', ')}` : 'No word speaks of this place.';
}

function show() {
  const now = element.querySelector('.readers')?.dataset.of;
  if (now && now !== of) [of, word, place] = [now, null, null];
  for (const reader of all(element, '.reader')) {
    const said = reader.querySelector('.said');
    if (!said) continue;
    const words = all(reader, '.word'), maps = mapsOf(reader);
    const [columns, rows] = [Number(reader.dataset.columns), Number(reader.dataset.rows)];
    words.forEach((one) => { one.classList.remove('chosen', 'linked'); one.setAttribute('aria-pressed', 'false'); });
    reader.querySelector('canvas').hidden = reader.querySelector('.cell').hidden = true;
    reader.querySelector('.shot').classList.remove('mapped');
    if (word) said.textContent = showWord(reader, words, maps, columns, rows);
    else if (place) said.textContent = showPlace(reader, words, maps, columns, rows);
    else said.textContent = maps ? 'Click a word to see its pixels, or a place in the picture to see its words.' : 'The maps are on the way …';
  }
}

function choose(one) {
  const span = [Number(one.dataset.start), Number(one.dataset.end)];
  word = word && word.join() === span.join() ? null : span;
  place = null;
  show();
}

element.addEventListener('click', (event) => {
  const one = event.target.closest('.word[role=button]'), shot = event.target.closest('.shot');
  if (one) return choose(one);
  if (!shot) return;
  const box = shot.getBoundingClientRect();
  const inside = (value) => Math.min(0.999, Math.max(0, value));
  place = [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
  word = null;
  show();
});

element.addEventListener('keydown', (event) => {
  const one = event.target.closest('.word[role=button]'), shot = event.target.closest('.shot');
  const step = { ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowDown: [0, 1] }[event.key];
  if (one && (event.key === 'Enter' || event.key === ' ')) choose(one);
  else if (one && step) {
    const words = all(one.closest('.reader'), '.word'), next = words[words.indexOf(one) + step[0] + step[1]];
    if (!next) return;
    one.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  } else if (shot && step) {
    const { columns, rows } = shot.closest('.reader').dataset;
    if (!columns) return;
    const moved = (value, by, count) => Math.min(count - 0.5, Math.max(0.5, Math.floor(value * count) + 0.5 + by)) / count;
    place = place ? [moved(place[0], step[0], columns), moved(place[1], step[1], rows)] : [0.5, 0.5];
    word = null;
    show();
  } else return;
  event.preventDefault();
});

// A text as the page breaks it, which it also does between characters: each piece and where it stands.
const lines = (node, range) => [...node.data.matchAll(/\S+/g)].flatMap(({ index, 0: piece }) => {
  const rect = (from, to) => (range.setStart(node, from), range.setEnd(node, to), range);
  const whole = rect(index, index + piece.length);
  if (whole.getClientRects().length < 2) return [{ text: piece, at: whole.getBoundingClientRect() }];
  const found = [];
  let from = index;
  for (const { segment } of new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(piece)) {
    const at = rect(from, from + segment.length).getBoundingClientRect(), last = found.at(-1);
    if (last && Math.abs(last.top - at.top) < at.height / 2) last.end = from + segment.length;
    else found.push({ from, end: from + segment.length, top: at.top });
    from += segment.length;
  }
  return found.map(({ from, end }) => ({ text: node.data.slice(from, end), at: rect(from, end).getBoundingClientRect() }));
});

// The board as a picture: what is on the page, drawn again, so that fonts, scripts and colours are the visitor's.
element.addEventListener('save', () => {
  const readers = element.querySelector('.readers'), frame = readers.getBoundingClientRect(), scale = 2, margin = 12;
  const canvas = document.createElement('canvas'), context = canvas.getContext('2d');
  canvas.width = scale * (frame.width + 2 * margin);
  canvas.height = scale * (frame.height + 2 * margin);
  context.scale(scale, scale);
  context.fillStyle = getComputedStyle(readers).getPropertyValue('--card');
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.translate(margin - frame.left, margin - frame.top);
  for (const shot of all(readers, '.shot')) {
    const box = shot.getBoundingClientRect(), picture = shot.querySelector('img'), map = shot.querySelector('canvas');
    const side = Math.min(picture.naturalWidth, picture.naturalHeight);
    context.filter = getComputedStyle(picture).filter;
    const corner = [(picture.naturalWidth - side) / 2, (picture.naturalHeight - side) / 2];
    context.drawImage(picture, ...corner, side, side, box.left, box.top, box.width, box.height);
    context.filter = 'none';
    if (!map.hidden) context.drawImage(map, box.left, box.top, box.width, box.height);
  }
  for (const ramp of all(readers, '.ramp i')) {
    const box = ramp.getBoundingClientRect(), colours = context.createLinearGradient(box.left, 0, box.right, 0);
    const [up, down] = ['--up', '--down'].map((name) => `rgba(${getComputedStyle(ramp).getPropertyValue(name)}, 0.6)`);
    const ends = ramp.closest('.one-sided') ? ['transparent', up] : [down, 'transparent', up];
    ends.forEach((colour, i) => colours.addColorStop(i / (ends.length - 1), colour));
    context.fillStyle = colours;
    context.fillRect(box.left, box.top, box.width, box.height);
  }
  const texts = document.createTreeWalker(readers, NodeFilter.SHOW_TEXT), range = document.createRange();
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const style = getComputedStyle(node.parentElement), box = node.parentElement.closest('.word');
    for (const line of lines(node, range)) {
      const { at } = line;
      context.fillStyle = box ? getComputedStyle(box).backgroundColor : 'transparent';
      context.fillRect(at.left, at.top, at.width, at.height);
      if (box?.matches('.chosen, .linked')) {
        context.strokeStyle = style.color;
        context.strokeRect(at.left, at.top, at.width, at.height);
      }
      context.fillStyle = style.color;
      context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
      context.textBaseline = 'middle';
      context.fillText(line.text, at.left, at.top + at.height / 2);
      if (node.parentElement.closest('s')) context.fillRect(at.left, at.top + at.height / 2, at.width, 1);
    }
  }
  const link = document.createElement('a');
  link.download = 'longclip-words.png';
  link.href = canvas.toDataURL('image/png');
  link.click();
});

watch('value', show);
