// SPDX-License-Identifier: Apache-2.0
// ask: how the page talks to the globe: the token of this tab, questions, and the stream of counts.

const KEY = 'tributary.token';
const SILENCE_MS = 40000; // heartbeats come more often: the connection is dead, though nobody said so

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? '',
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

// What the globe said no to: status, and its words.
export class Refusal extends Error {
  constructor(status, words, retryAfter) {
    super(words);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

function headers(more = {}) {
  const text = token.get();
  return text === '' ? more : {...more, Authorization: `Bearer ${text}`};
}

async function refusal(answer) {
  let words = `The globe answered ${answer.status}.`;
  try {
    words = (await answer.json()).detail ?? words;
  } catch { /* not a problem document: the status has to do */ }
  return new Refusal(answer.status, words, Number(answer.headers.get('retry-after') ?? 0));
}

export function path(resource, parameters = []) {
  const pairs = parameters.map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return pairs.length === 0 ? resource : `${resource}?${pairs.join('&')}`;
}

export async function ask(resource, parameters = [], signal = undefined) {
  const answer = await fetch(path(resource, parameters), {headers: headers({Accept: 'application/json'}), signal,
    cache: 'no-store', credentials: 'omit'});
  if (!answer.ok) throw await refusal(answer);
  return answer.json();
}

// Splits the text of an event stream (WHATWG HTML, 9.2.6) into events; feed() takes pieces of any size.
export function eventReader(onEvent) {
  let rest = '', data = [], name = '', id = '';
  function line(text) {
    if (text === '') {
      if (data.length > 0) onEvent({name: name || 'message', id, data: data.join('\n')});
      data = [];
      name = '';
    } else if (!text.startsWith(':')) {
      const colon = text.indexOf(':');
      const field = colon < 0 ? text : text.slice(0, colon);
      const value = colon < 0 ? '' : text.slice(colon + 1).replace(/^ /, '');
      if (field === 'data') data.push(value);
      else if (field === 'event') name = value;
      else if (field === 'id') id = value;
    }
  }
  return (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    lines.forEach((one) => line(one.replace(/\r$/, '')));
  };
}

// Follows a resource until it ends or the signal says so. Not EventSource: that one cannot bear a token.
export async function follow(resource, parameters, lastId, onEvent, signal) {
  const more = {Accept: 'text/event-stream', ...(lastId === '' ? {} : {'Last-Event-ID': lastId})};
  const answer = await fetch(path(resource, parameters), {headers: headers(more), signal, cache: 'no-store',
    credentials: 'omit'});
  if (!answer.ok) throw await refusal(answer);
  const feed = eventReader(onEvent);
  const words = new TextDecoder();
  const reader = answer.body.getReader();
  for (;;) {
    const silence = setTimeout(() => reader.cancel(), SILENCE_MS);
    const {done, value} = await reader.read();
    clearTimeout(silence);
    if (done) return;
    feed(words.decode(value, {stream: true}));
  }
}
