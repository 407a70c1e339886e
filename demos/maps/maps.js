// Two linked maps. `props.value` holds the points, `props.colours` what they can be coloured by, `props.marks` what is drawn
// over them; `trigger` tells Python of a point that was clicked and of those that a lasso caught. Text is set as text only.
const PALETTE = ['#4c78a8', '#f58518', '#54a24b', '#e45756', '#72b7b2', '#b279a2', '#d4a72c', '#9d755d', '#3fa7d6', '#ee9ca7',
  '#7a5195', '#88a80d', '#c2185b', '#2f7f6f', '#8a93a3'];
const SCALE = [[0, '#3b6fc4'], [0.5, '#c9b458'], [1, '#d1495b']];
const KINDS = ['circle', 'diamond'];
const SVG = 'http://www.w3.org/2000/svg';
const narrow = matchMedia('(max-width: 700px)').matches;
const box = element.querySelector('.maps');
const card = element.querySelector('.hovering');
const menu = element.querySelector('.colouring select');
const legend = element.querySelector('.colouring .legend');
const sides = [...element.querySelectorAll('.map')].map((figure) => ({
  figure, title: figure.querySelector('figcaption'), plot: figure.querySelector('.plot'), marks: figure.querySelector('svg'),
}));
let atlas = null, shown = null, wait = 0, linking = false;
const described = new Map();

// Other plots of the page replace window.Plotly by an older one: this one is taken once, as soon as it is there.
function loadPlotly() {
  window.longclipPlotly ??= new Promise((resolve, reject) => {
    const before = window.Plotly;
    const script = document.createElement('script');
    script.src = box.dataset.plotly;
    script.onload = () => { resolve(window.Plotly); if (before) window.Plotly = before; };
    script.onerror = () => reject(new Error('plotly.js could not be loaded'));
    document.head.append(script);
  });
  return window.longclipPlotly;
}

function bytes(text) { return Uint8Array.from(atob(text), (c) => c.charCodeAt(0)); }

function unpack(text, low, high) {
  const whole = new Uint16Array(bytes(text).buffer);
  return Float32Array.from(whole, (value) => low + (high - low) * value / 65535);
}

function pointOf(found) { return found.curveNumber * atlas.count + found.pointNumber; }

async function drawMaps() {
  const Plotly = await loadPlotly();
  const data = props.value;
  if (!data) return;
  if (!atlas) sides.forEach((side) => attend(side, Plotly));
  const fresh = !atlas || atlas.key !== data.key || atlas.count !== data.count;
  atlas = { ...data, kinds: data.captions ? 2 : 1 };
  const [x0, x1, y0, y1] = data.frame;
  const room = 0.05 * Math.max(x1 - x0, y1 - y0);
  box.hidden = false;
  sides.forEach((side, number) => {
    const drawn = data.maps[number];
    const method = document.createElement('span');
    method.textContent = data.method;
    side.title.replaceChildren(drawn.title, method);
    side.x = unpack(drawn.x, x0, x1);
    side.y = unpack(drawn.y, y0, y1);
    const traces = KINDS.slice(0, atlas.kinds).map((symbol, kind) => ({
      type: 'scattergl', mode: 'markers', hoverinfo: 'none',
      x: side.x.subarray(kind * data.count, (kind + 1) * data.count),
      y: side.y.subarray(kind * data.count, (kind + 1) * data.count),
      marker: { symbol, size: sizeOf(data.count), opacity: 0.85, color: PALETTE[kind], line: { width: 0 } },
      unselected: { marker: { opacity: 0.08 } },
    }));
    const layout = {
      paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', margin: { l: 0, r: 0, t: 0, b: 0 },
      showlegend: false, hovermode: 'closest', hoverdistance: 12, clickmode: 'event',
      dragmode: narrow ? false : 'pan', uirevision: `${data.key} ${data.method}`,
      xaxis: { visible: false, range: [x0 - room, x1 + room] },
      yaxis: { visible: false, range: [y0 - room, y1 + room], scaleanchor: 'x' },
      modebar: { bgcolor: 'rgba(0,0,0,0)', color: '#7c8594', activecolor: '#6a6ff0', orientation: 'h' },
      newselection: { line: { color: '#7c8594', width: 1.5, dash: 'dot' } },
    };
    const config = { displaylogo: false, displayModeBar: true, scrollZoom: true,
      modeBarButtons: [['pan2d', 'lasso2d', 'zoomIn2d', 'zoomOut2d', 'resetScale2d']] };
    // Not merged into the plot that was there: plotly.js keeps the lasso, and what it caught, of points that are gone.
    if (fresh) Plotly.purge(side.plot);
    Plotly.react(side.plot, traces, layout, config);
    if (fresh) wire(side, number, Plotly);
  });
  if (fresh) described.clear();
  recolour();
  drawMarks();
}

function sizeOf(count) { return count > 10000 ? 3 : count > 2000 ? 4.5 : count > 100 ? 6 : 10; }

function wire(side, number, Plotly) {
  side.plot.on('plotly_hover', (event) => hover(pointOf(event.points[0])));
  side.plot.on('plotly_unhover', leave);
  side.plot.on('plotly_click', (event) => trigger('pick', { point: pointOf(event.points[0]) }));
  side.plot.on('plotly_selected', (event) => {
    // Of points that are drawn anew, plotly.js tells too.
    if (!event?.points.length) return;
    const points = event.points.map(pointOf);
    highlight(points);
    trigger('lasso', { points });
  });
  side.plot.on('plotly_deselect', () => highlight(null));
  side.plot.on('plotly_relayouting', () => { side.marks.replaceChildren(); });
  side.plot.on('plotly_relayout', (change) => follow(number, change, Plotly));
  side.plot.on('plotly_afterplot', () => drawMarksOf(number));
}

function attend(side, Plotly) {
  // The page scrolls on over a map that nobody touched.
  let touched = false;
  side.plot.addEventListener('pointerdown', () => { touched = true; leave(); });
  side.figure.addEventListener('pointerleave', () => { touched = false; leave(); });
  side.plot.addEventListener('wheel', (event) => {
    if (!touched && !event.ctrlKey) event.stopPropagation();
  }, { capture: true });
  new ResizeObserver(() => { if (side.plot.clientWidth && side.plot.data) Plotly.Plots.resize(side.plot); }).observe(side.figure);
}

// What is zoomed or moved on one map is so on the other.
async function follow(number, change, Plotly) {
  if (linking || !Object.keys(change).some((key) => /axis|dragmode/.test(key))) return;
  linking = true;
  const { xaxis, yaxis, dragmode } = sides[number].plot.layout;
  await Plotly.relayout(sides[1 - number].plot, {
    'xaxis.range': [...xaxis.range], 'yaxis.range': [...yaxis.range], dragmode,
  });
  linking = false;
}

async function highlight(points) {
  const Plotly = await loadPlotly();
  let chosen = null;
  if (points) {
    chosen = KINDS.slice(0, atlas.kinds).map(() => []);
    points.forEach((point) => chosen[Math.floor(point / atlas.count)].push(point % atlas.count));
  }
  sides.forEach((side) => Plotly.restyle(side.plot, { selectedpoints: chosen ?? [null] }));
}

// --- Colours ---

function listColours() {
  const before = menu.value;
  menu.replaceChildren(...(props.colours ?? []).map((colouring) => new Option(colouring.name, colouring.name)));
  const wanted = before || new URL(location.href).searchParams.get('colour');
  const names = [...menu.options].map((option) => option.value);
  menu.value = names.includes(wanted) ? wanted : names.includes('setting') ? 'setting' : names[0] ?? '';
  menu.parentElement.hidden = names.length < 2;
  recolour();
}

async function recolour() {
  const colouring = (props.colours ?? []).find(({ name }) => name === menu.value);
  if (!atlas || !colouring) return;
  const Plotly = await loadPlotly();
  const values = colouring.values ? bytes(colouring.values) : null;
  const length = values?.length ?? 0;
  if (values && length !== atlas.count && length !== atlas.count * atlas.kinds) return;
  const marker = (kind) => {
    if (!values) return { 'marker.color': PALETTE[kind], 'marker.showscale': false };
    const own = values.subarray(length > atlas.count ? kind * atlas.count : 0).subarray(0, atlas.count);
    if (colouring.ends) return { 'marker.color': [Array.from(own)], 'marker.cmin': 0, 'marker.cmax': 255, 'marker.colorscale': [SCALE] };
    return { 'marker.color': [Array.from(own, (value) => PALETTE[value % PALETTE.length])] };
  };
  sides.forEach((side) => {
    for (let kind = 0; kind < atlas.kinds; kind++) Plotly.restyle(side.plot, marker(kind), [kind]);
  });
  shown = { colouring, values };
  drawLegend(colouring);
}

function drawLegend(colouring) {
  if (colouring.ends) {
    const bar = document.createElement('i');
    bar.style.background = `linear-gradient(90deg, ${SCALE.map(([, colour]) => colour).join(', ')})`;
    legend.replaceChildren(colouring.ends[0], bar, colouring.ends[1]);
    return;
  }
  legend.replaceChildren(...colouring.labels.map((label, number) => {
    const button = document.createElement('button'), dot = document.createElement('i');
    button.type = 'button';
    button.setAttribute('aria-pressed', 'false');
    dot.style.background = PALETTE[number % PALETTE.length];
    if (!colouring.values && number) dot.className = 'diamond';
    button.append(dot, label);
    button.addEventListener('click', () => single(button, number));
    return button;
  }));
}

// One class alone, the others pale; once more: all of them.
function single(button, number) {
  const chosen = button.getAttribute('aria-pressed') !== 'true';
  legend.querySelectorAll('button').forEach((other) => other.setAttribute('aria-pressed', String(chosen && other === button)));
  if (!chosen) { highlight(null); return; }
  const points = [];
  for (let point = 0; point < atlas.count * atlas.kinds; point++) {
    const kind = Math.floor(point / atlas.count);
    const value = shown.values ? shown.values[shown.values.length > atlas.count ? point : point % atlas.count] : kind;
    if (value === number) points.push(point);
  }
  highlight(points);
}

menu.addEventListener('change', () => {
  recolour();
  const here = new URL(location.href);
  here.searchParams.set('colour', menu.value);
  history.replaceState(history.state, '', here);
});

// --- What lies over the points ---

function place(side, x, y) {
  // plotly.js has no public way from data to pixels.
  const { xaxis, yaxis } = side.plot._fullLayout;
  return [xaxis._offset + xaxis.l2p(x), yaxis._offset + yaxis.l2p(y)];
}

function draw(parent, name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  parent.append(node);
}

function ring(side, point, radius, kind) {
  const [cx, cy] = place(side, side.x[point], side.y[point]);
  draw(side.marks, 'circle', { cx, cy, r: radius, class: kind });
}

function drawMarks() { sides.forEach((_, number) => drawMarksOf(number)); }

function drawMarksOf(number) {
  const side = sides[number], marks = props.marks;
  if (!side.plot._fullLayout || !atlas) return;
  side.marks.replaceChildren();
  const total = atlas.count * atlas.kinds;
  if (marks) {
    const pins = (marks.pins?.[number] ?? []).map((pin) => ({ ...pin, at: place(side, pin.x, pin.y) }));
    const known = (marks.near?.[number] ?? []).filter((point) => point < total);
    const chosen = marks.chosen != null && marks.chosen < total ? marks.chosen : null;
    const from = chosen !== null ? place(side, side.x[chosen], side.y[chosen]) : pins[0]?.at;
    known.forEach((point) => {
      const [x2, y2] = place(side, side.x[point], side.y[point]);
      if (from) draw(side.marks, 'line', { x1: from[0], y1: from[1], x2, y2, class: 'thread' });
      ring(side, point, 5, 'near');
    });
    if (chosen !== null) ring(side, chosen, 8, 'chosen');
    drawPins(side, pins);
  }
  if (side.hovered != null && side.hovered < total) ring(side, side.hovered, 8, 'hover');
}

// Pins that lie on one another share a label.
function drawPins(side, pins) {
  if (pins.length > 1) draw(side.marks, 'polyline', { points: pins.map(({ at }) => at.join(',')).join(' '), class: 'cut' });
  const groups = [];
  pins.forEach((pin) => {
    const near = groups.find((group) => Math.hypot(group.at[0] - pin.at[0], group.at[1] - pin.at[1]) < 16);
    if (near) near.labels.push(pin.label); else groups.push({ at: pin.at, labels: [pin.label] });
  });
  const width = side.figure.clientWidth;
  groups.forEach(({ at: [x, y], labels }) => {
    draw(side.marks, 'rect', { x: x - 6, y: y - 6, width: 12, height: 12, transform: `rotate(45 ${x} ${y})`, class: 'pin' });
    const left = x > width / 2;
    draw(side.marks, 'text', { x: left ? x - 12 : x + 12, y: y + 4, 'text-anchor': left ? 'end' : 'start' }, labels.join(' = '));
  });
}

// --- Hover ---

function hover(point) {
  clearTimeout(wait);
  sides.forEach((side, number) => { side.hovered = point; drawMarksOf(number); });
  wait = setTimeout(() => describe(point), described.has(point) ? 0 : 60);
}

function leave() {
  clearTimeout(wait);
  card.hidden = true;
  sides.forEach((side, number) => { side.hovered = null; drawMarksOf(number); });
}

async function describe(point) {
  if (!described.has(point)) {
    try { described.set(point, await server.described([atlas.key, point])); } catch { return; }
  }
  const html = described.get(point), side = sides.find((one) => one.figure.matches(':hover')) ?? sides[0];
  if (!html || side.hovered !== point) return;
  card.innerHTML = html;
  card.hidden = false;
  const [x, y] = place(side, side.x[point], side.y[point]);
  const left = side.figure.offsetLeft + x, top = side.figure.offsetTop + side.plot.offsetTop + y;
  const beyond = left + 20 + card.offsetWidth > box.clientWidth;
  card.style.left = `${Math.max(0, beyond ? left - 16 - card.offsetWidth : left + 16)}px`;
  card.style.top = `${Math.max(0, Math.min(top - card.offsetHeight / 2, box.clientHeight - card.offsetHeight))}px`;
}

function showAddress() {
  const wanted = props.marks?.address;
  if (!wanted) return;
  const here = new URL(location.href);
  for (const name of ['method', 'metric', 'near', 'seed', 'point', 'among', 'place']) here.searchParams.delete(name);
  new URLSearchParams(wanted).forEach((value, name) => here.searchParams.set(name, value));
  history.replaceState(history.state, '', here);
}

// Whatever changed, and even where several things changed at once: each is drawn when it is not the one that was drawn.
const last = {};
function isNew(name, now) {
  const text = JSON.stringify(now ?? null);
  if (last[name] === text) return false;
  last[name] = text;
  return true;
}

// A page that is busy now and then misses a property that is sent to it. What is chosen comes last: what is missing then is asked
// for again.
let asked = 0, timer = 0;
function complete() {
  if (!props.marks || (props.value && props.colours) || asked > 9) return;
  asked += 1;
  trigger('lost');
  timer = setTimeout(complete, 3000);
}

async function refresh() {
  if (isNew('points', props.value)) await drawMaps();
  if (isNew('classes', props.colours)) listColours();
  if (isNew('rings', props.marks)) { drawMarks(); showAddress(); }
  clearTimeout(timer);
  timer = setTimeout(complete, 1000);
}

// Not as quoted names: Gradio takes each quoted name in this file that a component is asked for as an event of it.
watch(Object.keys({ value: 0, colours: 0, marks: 0 }), refresh);
refresh();
