// Slack's mrkdwn as DOM nodes. Text is only ever put into text nodes.

const unescape = (s) => s.replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&');

export const el = (tag, props = {}, ...children) => {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props)) {
    if (v === undefined || v === null || v === false) continue;
    if (k in e && typeof v !== 'string') e[k] = v;
    else e.setAttribute(k === 'className' ? 'class' : k, v);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
};

// A date token, for the reader's own zone: <!date^UNIX^FORMAT|FALLBACK>.
const days = (t) => {
  const day = (d) => new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
  return Math.round((day(new Date()) - day(t)) / 86400000);
};
export const time = (t) => t.toLocaleTimeString([], { hour: 'numeric', minute: '2-digit' });
const dateWords = (t, month, pretty) => {
  if (pretty && days(t) === 0) return 'today';
  if (pretty && days(t) === 1) return 'yesterday';
  return t.toLocaleDateString([], { month, day: 'numeric', year: 'numeric' });
};
const ago = (t) => {
  const m = Math.round((Date.now() - t) / 60000);
  return m < 60 ? `${m} minutes ago` : m < 2880 ? `${Math.round(m / 60)} hours ago` : `${Math.round(m / 1440)} days ago`;
};
const date = (unix, format) => {
  const t = new Date(unix * 1000);
  return format
    .replace(/\{date_num\}/g, t.toISOString().slice(0, 10))
    .replace(/\{date(_short|_long)?(_pretty)?\}/g, (_, kind, pretty) => dateWords(t, kind === '_short' ? 'short' : 'long', pretty))
    .replace(/\{time_secs\}/g, t.toLocaleTimeString())
    .replace(/\{time\}/g, time(t))
    .replace(/\{ago\}/g, ago(t));
};

// What stands in angle brackets: a person, a group, an alarm, a date, a link.
const bracket = (inner, context) => {
  const bar = inner.indexOf('|');
  const what = bar < 0 ? inner : inner.slice(0, bar);
  const label = bar < 0 ? '' : inner.slice(bar + 1);
  const mention = (name, extra = '') => el('span', { className: 'mention ' + extra }, name);
  if (what.startsWith('@')) {
    const id = what.slice(1);
    return mention('@' + (context.people[id]?.name ?? id), id === context.me ? 'me' : '');
  }
  if (what.startsWith('!subteam^')) return mention('@' + (label || context.groupName(what.slice(9))));
  if (what.startsWith('!date^')) {
    const [, unix, format] = what.split('^');
    return el('time', { title: unescape(label) }, date(Number(unix), unescape(format)));
  }
  if (what.startsWith('!')) return mention('@' + what.slice(1), 'alarm');
  if (what.startsWith('#')) return mention('#' + (label || what.slice(1)));
  if (/^https?:\/\//.test(what)) {
    const href = unescape(what);
    return el('a', { href, target: '_blank', rel: 'noreferrer noopener' }, ...(label ? nodes(label, context) : [href]));
  }
  return document.createTextNode(unescape(`<${inner}>`));
};

// The tokens in the order in which they are looked for. Formatting needs a boundary on both sides, as in Slack.
const token = /<([^<>\n]+)>|`([^`\n]+)`|(?<![\p{L}\p{N}])\*([^*\s](?:[^*\n]*[^*\s])?)\*(?![\p{L}\p{N}])|(?<![\p{L}\p{N}])_([^_\s](?:[^_\n]*[^_\s])?)_(?![\p{L}\p{N}])|(?<![\p{L}\p{N}])~([^~\s](?:[^~\n]*[^~\s])?)~(?![\p{L}\p{N}])|\n/gu;

export const nodes = (text, context) => {
  const out = [];
  let last = 0;
  for (const m of text.matchAll(token)) {
    if (m.index > last) out.push(document.createTextNode(unescape(text.slice(last, m.index))));
    last = m.index + m[0].length;
    if (m[0] === '\n') out.push(el('br'));
    else if (m[1] !== undefined) out.push(bracket(m[1], context));
    else if (m[2] !== undefined) out.push(el('code', {}, unescape(m[2])));
    else if (m[3] !== undefined) out.push(el('b', {}, ...nodes(m[3], context)));
    else if (m[4] !== undefined) out.push(el('i', {}, ...nodes(m[4], context)));
    else out.push(el('s', {}, ...nodes(m[5], context)));
  }
  if (last < text.length) out.push(document.createTextNode(unescape(text.slice(last))));
  return out;
};

// One text object: only mrkdwn is parsed.
export const textObject = (t, context) => (t.type === 'mrkdwn' ? nodes(t.text, context) : [document.createTextNode(t.text)]);
