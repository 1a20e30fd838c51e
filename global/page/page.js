// SPDX-License-Identifier: Apache-2.0
// page: what a person sees of the globe: regions, ads, counts as they come, the balance and its light.

import {Refusal, ask, follow, token} from './ask.js';
import {canDraw, clock, graph} from './draw.js';

const ADS_MAX = 8; // shown at once; as many colours, and as many as a stream takes
const POLL_MS = 4000;
const AGAIN_MS = 1000;
const BALANCE_MS = 5000;

const $ = (id) => document.getElementById(id);
const number = (n) => n.toLocaleString('en');
const sleep = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener('abort', () => { clearTimeout(timer); resolve(); });
});

function element(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, '');
    else if (value !== false) made.setAttribute(key, value);
  }
  made.append(...inside.map((one) => typeof one === 'number' ? number(one) : one));
  return made;
}

function lamp(words, state, text) {
  words.previousElementSibling.dataset.state = state;
  if (words.textContent !== text) words.textContent = text; // a status that is the same is not said again
}

const state = {
  chosen: [],          // {ad, tone}
  points: new Map(),   // ad -> Map of timestamp -> point
  minutes: 60,
  asOf: 0,
  lastId: '',
  stream: true,        // false: this globe has none, or none to spare
  admitted: false,
};

// -- regions -------------------------------------------------------------------------------------

function showStanding({as_of: asOf, watermarks, missing_edges: missing}) {
  state.asOf = asOf;
  $('as-of').textContent = `As of ${new Date(asOf * 1000).toISOString().slice(11, 19)}.`;
  const cards = Object.entries(watermarks).map(([region, mark]) => {
    const gone = missing.filter((one) => one.region === region).map((one) => one.edge);
    const lag = mark === null ? null : Math.max(0, asOf - mark);
    const how = mark === null ? 'bad' : gone.length > 0 || lag > 30 ? 'wait' : 'good';
    const words = mark === null ? 'no watermark yet' : `counted to ${new Date(mark * 1000).toISOString().slice(11, 19)}`;
    return element('li', {'data-state': how}, element('span', {}, region),
      element('b', {}, lag === null ? 'unknown' : `${number(lag)} s behind`), element('small', {}, words),
      ...(gone.length === 0 ? [] : [element('small', {class: 'bad'}, ` without ${gone.join(', ')}`)]));
  });
  $('region-list').replaceChildren(...cards);
}

// -- the token -----------------------------------------------------------------------------------

function showDoor(words) {
  state.admitted = false;
  $('door').hidden = false;
  $('forget').hidden = true;
  $('token-error').textContent = words;
  $('token').setAttribute('aria-invalid', words !== '');
  lamp($('state-words'), 'wait', 'A token is needed');
  $('token').focus();
}

function refused(error, where) {
  if (error instanceof Refusal && error.status === 401) {
    const had = token.get() !== '';
    token.forget();
    stop();
    showDoor(had ? 'This token does not hold: unknown, expired or revoked.' : '');
  } else if (where !== undefined) {
    where.textContent = error.message;
  }
}

// -- finding ads ---------------------------------------------------------------------------------

function choice(ad, note) {
  const isShown = state.chosen.some((one) => one.ad === ad);
  const box = element('input', {type: 'checkbox'});
  box.checked = isShown;
  box.addEventListener('change', () => {
    if (box.checked && state.chosen.length >= ADS_MAX) {
      box.checked = false;
      $('ads-note').textContent = `At most ${ADS_MAX} ads are shown at once.`;
    } else {
      choose(ad, box.checked);
    }
  });
  return element('label', {'data-ad': ad}, box, element('span', {}, ad), element('output', {}, note));
}

function listFound(found, append) {
  const rows = found.map(({ad, note}) => choice(ad, note));
  if (append) $('found-list').append(...rows);
  else $('found-list').replaceChildren(...rows);
  $('found').hidden = $('found-list').childElementCount === 0;
}

async function find(cursor) {
  const prefix = $('prefix').value;
  const parameters = [['limit', 50]];
  if (prefix !== '') parameters.push(['prefix', prefix]);
  if (cursor !== undefined) parameters.push(['cursor', cursor]);
  try {
    const answer = await ask('v1/ads', parameters);
    answer.ads.sort((a, b) => a.ad_id < b.ad_id ? -1 : 1); // of this part: the globe's order is that of its hashes
    listFound(answer.ads.map((one) => ({ad: one.ad_id, note: `last ${clock(one.last_seen)}`})), cursor !== undefined);
    const count = $('found-list').childElementCount;
    $('ads-note').textContent = count === 0 ? 'No ad that this token may see begins so.'
      : `${number(count)} ${count === 1 ? 'ad' : 'ads'}${answer.next === null ? '' : ', and more'}`;
    $('more').hidden = answer.next === null;
    $('more').onclick = () => find(answer.next);
  } catch (error) {
    refused(error, $('ads-note'));
  }
}

async function findBusiest() {
  const end = (Math.floor(Date.now() / 60000) + 1) * 60;
  try {
    const answer = await ask('v1/top', [['start', end - 3600], ['end', end], ['limit', 10]]);
    const named = answer.ads.filter((one) => one.ad_id !== null);
    listFound(named.map((one) => ({ad: one.ad_id, note: number(one.click_count)})), false);
    $('more').hidden = true;
    $('ads-note').textContent = named.length === 0 ? 'No clicks in the last hour.' : 'Clicks of the last hour.';
  } catch (error) {
    refused(error, $('ads-note'));
  }
}

// -- what is shown -------------------------------------------------------------------------------

function choose(ad, yes) {
  if (yes) {
    const taken = new Set(state.chosen.map((one) => one.tone));
    const tone = Array.from({length: ADS_MAX}, (_, i) => i).find((i) => !taken.has(i));
    state.chosen.push({ad, tone});
  } else {
    state.chosen = state.chosen.filter((one) => one.ad !== ad);
    state.points.delete(ad);
  }
  for (const label of $('found-list').children)
    if (label.dataset.ad === ad) label.querySelector('input').checked = yes;
  const hash = state.chosen.map((one) => `ad=${encodeURIComponent(one.ad)}`).join('&');
  history.replaceState(null, '', hash === '' ? location.pathname : `#${hash}`);
  showChosen();
  showCounts();
  start();
}

function showChosen() {
  const hadFocus = $('chosen-list').contains(document.activeElement);
  $('chosen-list').replaceChildren(...state.chosen.map(({ad, tone}) => {
    const label = choice(ad, '');
    label.lastElementChild.replaceWith(element('span', {class: `swatch tone-${tone}`, 'aria-hidden': 'true'}));
    return label;
  }));
  $('chosen').hidden = state.chosen.length === 0;
  if (hadFocus) ($('chosen-list').querySelector('input') ?? $('prefix')).focus();
}

// The minutes that are shown, oldest first.
function times() {
  const end = (Math.floor(state.asOf / 60) + 1) * 60;
  return Array.from({length: state.minutes}, (_, i) => end - (state.minutes - i) * 60);
}

function keep(ad, points) {
  if (!state.chosen.some((one) => one.ad === ad)) return;
  if (!state.points.has(ad)) state.points.set(ad, new Map());
  const held = state.points.get(ad);
  for (const point of points) held.set(point.timestamp, point);
  const oldest = times()[0];
  for (const at of held.keys()) if (at < oldest) held.delete(at);
}

const pointAt = (ad, at) => state.points.get(ad)?.get(at);

function sumOf(ad, all) {
  const points = all.map((at) => pointAt(ad, at)).filter((one) => one !== undefined);
  const last = points.findLast((one) => one.complete);
  return {clicks: points.reduce((sum, one) => sum + one.click_count, 0), open: points.filter((one) => !one.complete).length,
    last};
}

function showSums(all) {
  const head = ['Ad', 'Clicks', 'Last complete minute', 'Clicks in it', 'Users in it', 'Open minutes'];
  const rows = state.chosen.map(({ad, tone}) => {
    const sum = sumOf(ad, all);
    return element('tr', {}, element('th', {scope: 'row'}, element('span', {class: `swatch tone-${tone}`, 'aria-hidden': 'true'}), ad),
      element('td', {}, sum.clicks), element('td', {}, sum.last === undefined ? '–' : clock(sum.last.timestamp)),
      element('td', {}, sum.last?.click_count ?? '–'), element('td', {}, sum.last?.unique_users ?? '–'),
      element('td', {}, sum.open));
  });
  $('sums').replaceChildren(element('table', {}, element('thead', {}, element('tr', {},
    ...head.map((one) => element('th', {scope: 'col'}, one)))), element('tbody', {}, ...rows)));
}

function showNumbers(all) {
  if (!$('numbers').open) return;
  const head = element('tr', {}, element('th', {scope: 'col'}, 'Minute'), ...state.chosen.flatMap(({ad}) =>
    [element('th', {scope: 'col'}, `${ad}: clicks`), element('th', {scope: 'col'}, 'users')]), element('th', {scope: 'col'}, 'Complete'));
  const rows = all.toReversed().map((at) => {
    const points = state.chosen.map(({ad}) => pointAt(ad, at));
    const complete = points.every((one) => one?.complete);
    return element('tr', {'data-open': !complete}, element('th', {scope: 'row'}, clock(at)), ...points.flatMap((one) =>
      [element('td', {}, one?.click_count ?? '–'), element('td', {}, one?.unique_users ?? '–')]),
      element('td', {}, complete ? 'yes' : 'not yet'));
  });
  $('minutes').replaceChildren(element('thead', {}, head), element('tbody', {}, ...rows));
}

const graphs = {clicks: null, users: null};

function readOut(kind, i) {
  const all = times();
  const isKnown = (at) => kind === 'clicks' || state.chosen.every(({ad}) => pointAt(ad, at)?.complete);
  const at = i === null ? all.findLast(isKnown) ?? all.at(-1) : all[i];
  const words = state.chosen.map(({ad}) => {
    const point = pointAt(ad, at);
    const value = kind === 'clicks' ? point?.click_count : point?.unique_users;
    return `${ad} ${value === undefined || value === null ? 'not known yet' : number(value)}`;
  });
  $(`${kind}-words`).textContent = state.chosen.length === 0 ? '' : `${clock(at)}: ${words.join(', ')}`;
}

function showGraphs(all) {
  $('no-charts').hidden = canDraw();
  $('graphs').hidden = !canDraw() || state.chosen.length === 0;
  if ($('graphs').hidden) return;
  const open = all.map((at) => !state.chosen.every(({ad}) => pointAt(ad, at)?.complete));
  for (const [kind, member] of [['clicks', 'click_count'], ['users', 'unique_users']]) {
    graphs[kind] ??= graph($(`${kind}-graph`), (i) => readOut(kind, i));
    const series = state.chosen.map(({ad, tone}) => ({name: ad, tone, values: all.map((at) => pointAt(ad, at)?.[member] ?? null)}));
    graphs[kind].show({times: all, series, open});
    readOut(kind, null);
  }
}

function showCounts() {
  const any = state.chosen.length > 0;
  $('counts-note').textContent = any ? 'As they are counted; the newest minutes grow until every region has delivered them.'
    : 'Choose ads to see their counts.';
  $('numbers').hidden = !any;
  $('sums').hidden = !any;
  if (!any) {
    $('graphs').hidden = true;
    return;
  }
  const all = times();
  showGraphs(all);
  showSums(all);
  showNumbers(all);
}

// -- the live counts -----------------------------------------------------------------------------

async function poll(signal) {
  if (state.chosen.length === 0) {
    showStanding(await ask('v1/watermarks', [], signal));
    return;
  }
  const end = (Math.floor(Date.now() / 60000) + 1) * 60;
  const range = [['window', '1m'], ['start', end - state.minutes * 60], ['end', end]];
  const answers = await Promise.all(state.chosen.map(({ad}) => ask('v1/stats', [['ad_id', ad], ...range], signal)));
  answers.forEach((one) => showStanding(one));
  answers.forEach((one) => keep(one.ad_id, one.data));
  showCounts();
}

function onEvent(event) {
  if (event.name !== 'counts') return;
  const {ads, ...standing} = JSON.parse(event.data);
  state.lastId = event.id;
  lamp($('state-words'), 'good', 'Live');
  showStanding(standing);
  ads.forEach((one) => keep(one.ad_id, one.data));
  showCounts();
}

async function once(signal) {
  if (state.chosen.length > 0 && state.stream) {
    const parameters = [...state.chosen.map(({ad}) => ['ad_id', ad]), ['minutes', state.minutes]];
    await follow('v1/stream', parameters, state.lastId, onEvent, signal);
    if (!signal.aborted) lamp($('state-words'), 'wait', 'The globe ended the stream; asking again');
    await sleep(AGAIN_MS, signal);
  } else {
    await poll(signal);
    lamp($('state-words'), 'good', state.chosen.length === 0 ? 'Connected' : `Asking every ${POLL_MS / 1000} s`);
    await sleep(POLL_MS, signal);
  }
}

let running = null;

function stop() {
  running?.abort();
  running = null;
}

async function start() {
  if (!state.admitted) return;
  stop();
  running = new AbortController();
  const signal = running.signal;
  state.lastId = ''; // other ads, another state
  state.stream = true;
  while (!signal.aborted) {
    try {
      await once(signal);
    } catch (error) {
      if (signal.aborted) return;
      const status = error instanceof Refusal ? error.status : 0;
      if (status === 401) {
        refused(error);
        return;
      }
      if (status === 403) {
        lamp($('state-words'), 'wait', 'Connected');
        $('counts-note').textContent = 'This token opens no counts (scope stats:read).';
        return;
      }
      if (state.stream && [404, 429, 503].includes(status)) {
        state.stream = false; // ask now and then instead
        continue;
      }
      lamp($('state-words'), 'bad', status === 0 ? 'The globe cannot be reached; trying again' : error.message);
      await sleep(Math.max(2000, (error.retryAfter ?? 0) * 1000), signal);
    }
  }
}

// -- the balance ---------------------------------------------------------------------------------

const SUMS = [['counted', 'Counted'], ['duplicate', 'Duplicate'], ['carried', 'Carried'], ['folded', 'Folded'],
  ['in_flight', 'In flight'], ['unexplained', 'Unexplained']];

function showBalance(balance) {
  const bad = balance.unexplained !== 0;
  lamp($('verdict-words'), bad ? 'bad' : 'good', bad ? `${number(balance.unexplained)} clicks unexplained`
    : '0 unexplained: every folded click is accounted for');
  $('totals').replaceChildren(...SUMS.map(([name, words]) =>
    element('div', {}, element('dt', {}, words), element('dd', {}, balance.totals[name]))));
  $('totals').hidden = false;
  $('lines').hidden = false;
  if (!$('lines').open) return;
  const head = ['Region', 'Partition', ...SUMS.map(([, words]) => words)];
  $('balance-table').replaceChildren(
    element('thead', {}, element('tr', {}, ...head.map((one) => element('th', {scope: 'col'}, one)))),
    element('tbody', {}, ...balance.lines.map((line) => element('tr', {}, element('th', {scope: 'row'}, line.region),
      element('td', {}, line.partition), ...SUMS.map(([name]) => element('td', {}, line[name]))))));
}

async function askBalance() {
  try {
    showBalance(await ask('v1/balance'));
  } catch (error) {
    const status = error instanceof Refusal ? error.status : 0;
    if (status === 403) lamp($('verdict-words'), 'wait', 'Needs a token with the scope admin');
    else if (status !== 401) lamp($('verdict-words'), 'wait', 'Not known now');
  }
}

async function watchBalance() {
  for (;;) {
    await sleep(BALANCE_MS);
    if (state.admitted && !document.hidden) await askBalance();
  }
}

// -- the beginning -------------------------------------------------------------------------------

async function open() {
  try {
    showStanding(await ask('v1/watermarks'));
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) {
      refused(error);
      return;
    }
    lamp($('state-words'), 'bad', 'The globe cannot be reached; trying again');
    await sleep(2000);
    open();
    return;
  }
  state.admitted = true;
  $('door').hidden = true;
  $('forget').hidden = token.get() === '';
  lamp($('state-words'), 'good', 'Connected');
  showChosen();
  start();
  askBalance();
  find();
}

$('door-form').addEventListener('submit', (event) => {
  event.preventDefault();
  token.set($('token').value.trim());
  $('token').value = '';
  open();
});
$('forget').addEventListener('click', () => {
  token.forget();
  location.reload();
});
$('search').addEventListener('submit', (event) => {
  event.preventDefault();
  find();
});
$('busiest').addEventListener('click', findBusiest);
for (const button of document.querySelectorAll('[data-minutes]'))
  button.addEventListener('click', () => {
    document.querySelectorAll('[data-minutes]').forEach((one) => one.setAttribute('aria-pressed', one === button));
    state.minutes = Number(button.dataset.minutes);
    showCounts();
    start();
  });
$('numbers').addEventListener('toggle', showCounts);
$('lines').addEventListener('toggle', askBalance);

for (const pair of location.hash.slice(1).split('&').slice(0, ADS_MAX)) {
  const [name, value] = pair.split('=');
  if (name === 'ad' && value) state.chosen.push({ad: decodeURIComponent(value), tone: state.chosen.length});
}
open();
watchBalance();
