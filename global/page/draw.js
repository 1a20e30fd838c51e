// SPDX-License-Identifier: Apache-2.0
// draw: the two graphs, by uPlot where this build has it; minutes that are not complete are hatched.

const DASHES = [[], [8, 4], [2, 3]]; // so that lines differ without their colours, too

export const canDraw = () => typeof window.uPlot === 'function';

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);

// Hatches the columns of minutes where `open(i)` says so, and everything right of them that has no minute yet.
function hatch(open) {
  const tile = document.createElement('canvas');
  tile.width = tile.height = 8;
  const pen = tile.getContext('2d');
  pen.strokeStyle = colour('--hatch');
  pen.lineWidth = 3;
  for (const x of [-8, 0, 8]) {
    pen.beginPath();
    pen.moveTo(x - 1, 9);
    pen.lineTo(x + 9, -1);
    pen.stroke();
  }
  return (u) => {
    const {left, top, width, height} = u.bbox;
    u.ctx.save();
    u.ctx.fillStyle = u.ctx.createPattern(tile, 'repeat');
    u.data[0].filter((_, i) => i % 2 === 0).forEach((at, i) => {
      if (!open(i)) return;
      const from = Math.max(left, u.valToPos(at, 'x', true));
      const to = Math.min(left + width, u.valToPos(at + 60, 'x', true));
      if (to > from) u.ctx.fillRect(from, top, to - from, height);
    });
    u.ctx.restore();
  };
}

// One graph. show({times, series: [{name, tone, values}], open}) draws anew; onPoint(i or null) follows the pointer.
export function graph(box, onPoint) {
  let plot = null, shape = '', shown = null;

  function options() {
    const axis = {stroke: colour('--soft'), grid: {stroke: colour('--grid'), width: 1}, ticks: {stroke: colour('--grid')},
      font: '13px system-ui, sans-serif'};
    return {
      width: box.clientWidth, height: box.clientWidth < 500 ? 220 : 260,
      legend: {show: false}, cursor: {y: false, drag: {x: false, y: false}}, padding: [12, 24, 0, 0],
      tzDate: (at) => window.uPlot.tzDate(new Date(at * 1000), 'Etc/UTC'),
      scales: {x: {time: true}, y: {range: (_, low, high) => [0, Math.max(5, high * 1.1)]}},
      axes: [{...axis, space: 70, size: 34, values: (_, ticks) => ticks.map(clock)},
        {...axis, size: 58, values: (_, ticks) => ticks.map((n) => Number.isInteger(n) ? n.toLocaleString('en') : '')}],
      series: [{}, ...shown.series.map((one) => ({stroke: colour(`--c${one.tone}`), width: 2, points: {show: false},
        dash: DASHES[one.tone % DASHES.length]}))],
      hooks: {drawClear: [(u) => hatch((i) => shown.open[i])(u)], setCursor: [(u) => onPoint(u.cursor.idx == null ? null : u.cursor.idx >> 1)]},
    };
  }

  function draw() {
    if (shown === null || box.clientWidth === 0) return;
    // a minute is as wide as a minute, also one that nothing follows: each is drawn from its start to its end
    const data = [shown.times.flatMap((at) => [at, at + 59.999]), ...shown.series.map((one) => one.values.flatMap((n) => [n, n]))];
    const wanted = shown.series.map((one) => `${one.tone} ${one.name}`).join('\n');
    if (plot !== null && shape === wanted) {
      plot.setData(data);
      return;
    }
    plot?.destroy();
    shape = wanted;
    plot = new window.uPlot(options(), data, box);
  }

  function again() {
    shape = '';
    plot?.destroy();
    plot = null;
    draw();
  }
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', again);
  let width = 0;
  new ResizeObserver(() => {
    if (box.clientWidth === width) return;
    width = box.clientWidth;
    again();
  }).observe(box);
  return {show(what) { shown = what; draw(); }};
}
