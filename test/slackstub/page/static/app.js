import { el, nodes, textObject, time } from './mrkdwn.js';

const $ = (id) => document.getElementById(id);
const colours = ['#1d7c5b', '#b8560f', '#3b5bb5', '#8d3a8d', '#4d6a6d', '#a8324a'];

let state = { people: {}, groups: {}, may: [], messages: [], channel: {} };
let me = sessionStorage.getItem('me') ?? '';
let open = sessionStorage.getItem('thread') ?? '';
const warnings = new Map(); // what a person saw beside a button, until the next click
const keyOf = (m, b) => [m.ts, m.versions ?? 0, me, b.action_id].join(' ');

const context = () => ({ me, people: state.people, groupName: (id) => id.replace(/^S0*/, '').toLowerCase() });
const initials = (name) => name.split(/\s+/).map((w) => w[0]).slice(0, 2).join('');
const avatar = (id) => {
  const p = state.people[id] ?? { name: '?' };
  const e = el('div', { className: p.bot ? 'avatar app' : 'avatar', 'aria-hidden': 'true' }, p.bot ? '⟲' : initials(p.name));
  if (!p.bot) e.style.background = colours[[...id].reduce((n, c) => n + c.charCodeAt(0), 0) % colours.length];
  return e;
};

// ---- blocks

const button = (b, m) => {
  const key = keyOf(m, b);
  const classes = 'button ' + (b.style ?? '');
  const act = async (event) => {
    if (b.confirm) {
      event.preventDefault();
      if (!(await confirmed(b.confirm))) return send(b, m, true);
      if (b.url) window.open(b.url, '_blank', 'noreferrer');
    }
    return send(b, m, false);
  };
  const props = { className: classes, 'data-action': b.action_id, 'aria-label': b.accessibility_label, onclick: act };
  const e = b.url && !b.confirm
    ? el('a', { ...props, href: b.url, target: '_blank', rel: 'noreferrer noopener' }, b.text.text)
    : el('button', { ...props, type: 'button' }, b.text.text);
  if (warnings.get(key) === 'busy') e.setAttribute('aria-busy', 'true');
  return e;
};

const actions = (b, m) => {
  const said = b.elements.map((e) => warnings.get(keyOf(m, e))).filter((w) => w && w !== 'busy');
  return el('div', { className: 'block actions' }, ...b.elements.map((e) => button(e, m)),
    ...said.map((w) => el('span', { className: 'warning', role: 'alert' }, '⚠ ' + w)));
};

const rich = (b) => b.elements.map((e) => {
  const text = e.elements.map((x) => x.text ?? '').join('');
  return el('div', { className: e.type === 'rich_text_preformatted' ? 'preformatted' : 'block' }, text);
});

const block = (b, m) => {
  const c = context();
  switch (b.type) {
    case 'header': return [el('div', { className: 'block header', role: 'heading', 'aria-level': '3' }, b.text.text)];
    case 'section': {
      const out = [];
      if (b.text) out.push(el('div', { className: 'block' }, ...textObject(b.text, c)));
      if (b.fields) out.push(el('div', { className: 'block fields' }, ...b.fields.map((f) => el('div', {}, ...textObject(f, c)))));
      return out;
    }
    case 'context': return [el('div', { className: 'block context' }, ...b.elements.map((e) => el('span', {}, ...textObject(e, c))))];
    case 'rich_text': return rich(b);
    case 'divider': return [el('hr')];
    case 'actions': return [actions(b, m)];
    default: return [el('div', { className: 'block warning' }, `(a block of type ${b.type}, which this page does not know)`)];
  }
};

// ---- messages

const replies = (m) => {
  if (!m.thread?.length) return null;
  const n = m.thread.length;
  const last = time(new Date(m.thread.at(-1).at));
  return el('button', { className: 'replies', type: 'button', onclick: () => show(m.ts), 'data-replies': m.ts },
    avatar(m.by), `${n} ${n === 1 ? 'reply' : 'replies'}`, el('span', { className: 'last' }, `Last reply ${last}`));
};

const message = (m, inThread) => {
  const p = state.people[m.by] ?? { name: m.by };
  const body = el('div', {});
  if (m.ephemeral) body.append(el('div', { className: 'only-you' }, '👁 Only visible to you'));
  body.append(el('div', {}, el('span', { className: 'by' }, p.name), p.bot ? el('span', { className: 'app-badge' }, 'APP') : null,
    el('time', { className: 'at', title: new Date(m.at).toLocaleString() }, time(new Date(m.at)))));
  if (m.broadcast && !inThread) {
    body.append(el('div', { className: 'replied' }, 'replied to a thread: ',
      el('a', { href: '#', onclick: (e) => { e.preventDefault(); show(m.thread_ts); } }, 'open')));
  }
  if (m.blocks?.length) body.append(...m.blocks.flatMap((b) => block(b, m)));
  else body.append(el('div', { className: 'block' }, ...nodes(m.text, context())));
  if (!inThread) {
    const r = replies(m);
    if (r) body.append(r);
  }
  return el('article', { className: 'message' + (m.ephemeral ? ' ephemeral' : ''), 'data-ts': m.ts }, avatar(m.by), body);
};

// draw keeps what did not change, so that a hover, a selection or a focus stays.
const draw = (into, list, inThread) => {
  const bottom = into.scrollHeight - into.scrollTop - into.clientHeight < 80;
  const had = new Map([...into.children].map((e) => [e.dataset.key, e]));
  const first = had.size === 0;
  const next = list.map(({ key, print, make }) => {
    const old = had.get(key);
    if (old && old.dataset.print === print) return old;
    const e = make();
    e.dataset.key = key;
    e.dataset.print = print;
    if (!first) e.classList.add('fresh');
    return e;
  });
  // What stays is not even moved: a press of the mouse on it goes on.
  const keep = new Set(next);
  for (const e of [...into.children]) if (!keep.has(e)) e.remove();
  next.forEach((e, i) => { if (into.children[i] !== e) into.insertBefore(e, into.children[i] ?? null); });
  if (bottom && !inThread) into.scrollTop = into.scrollHeight;
};

const day = (t) => t.toLocaleDateString([], { weekday: 'long', month: 'long', day: 'numeric' });
const items = (messages, inThread) => {
  const out = [];
  let last = '';
  for (const m of messages) {
    const d = day(new Date(m.at));
    if (!inThread && d !== last) {
      out.push({ key: 'day ' + d, print: d, make: () => el('div', { className: 'day' }, el('span', {}, d === day(new Date()) ? 'Today' : d)) });
    }
    last = d;
    const mine = [...warnings].filter(([k]) => k.startsWith([m.ts, m.versions ?? 0, me, ''].join(' ')));
    out.push({ key: m.ts, print: JSON.stringify([m, mine, me, inThread]), make: () => message(m, inThread) });
  }
  return out;
};

const people = () => {
  const row = (id) => {
    const p = state.people[id];
    return el('button', { className: 'person', type: 'button', role: 'radio', 'aria-checked': String(id === me), 'data-user': id,
      onclick: () => { me = id; sessionStorage.setItem('me', id); refresh(); } },
    avatar(id), el('span', {}, p.name, p.note ? el('span', { className: 'note' }, p.note) : null));
  };
  draw($('people'), state.may.map((id) => ({ key: id, print: JSON.stringify([state.people[id], id === me]), make: () => row(id) })), true);
};

const render = () => {
  $('team').textContent = state.team;
  for (const id of ['channel', 'title']) $(id).textContent = state.channel.name;
  $('thread-channel').textContent = '# ' + state.channel.name;
  $('members').textContent = `${state.channel.members} members`;
  document.title = `#${state.channel.name} – stand-in for Slack`;
  people();
  const list = items(state.messages, false);
  if (!list.length) list.push({ key: 'empty', print: '', make: () => el('div', { className: 'empty' }, 'Nothing was posted yet.') });
  draw($('messages'), list, false);
  const top = state.messages.find((m) => m.ts === open);
  $('thread').hidden = !top;
  if (top) draw($('thread-messages'), items([top, ...(top.thread ?? [])], true), true);
};

const show = (ts) => { open = ts; sessionStorage.setItem('thread', ts); render(); };

// ---- what a person does

const confirmed = (c) => new Promise((resolve) => {
  const d = $('confirm');
  $('confirm-title').textContent = c.title.text;
  $('confirm-text').replaceChildren(...textObject(c.text, context()));
  $('confirm-yes').textContent = c.confirm.text;
  $('confirm-no').textContent = c.deny.text;
  $('confirm-yes').className = 'button ' + (c.style === 'danger' ? 'danger' : 'primary');
  d.returnValue = '';
  $('confirm-yes').onclick = () => d.close('yes');
  $('confirm-no').onclick = () => d.close('');
  d.onclose = () => resolve(d.returnValue === 'yes');
  d.showModal();
});

const send = async (b, m, deny) => {
  const key = keyOf(m, b);
  if (!deny && !b.url) { warnings.set(key, 'busy'); render(); }
  let warning;
  try {
    const r = await fetch('click', {
      method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ user: me, ts: m.ts, action: b.action_id, deny }),
    });
    warning = (await r.json()).warning;
  } catch {
    warning = 'The stand-in is gone';
  }
  warnings.delete(key);
  if (warning && !b.url) warnings.set(key, warning);
  refresh();
};

// ---- what happens meanwhile

let asking = false;
let again = false;
const refresh = async () => {
  if (asking) { again = true; return; }
  asking = true;
  try {
    state = await (await fetch('state?user=' + encodeURIComponent(me))).json();
    state.messages ??= [];
    if (!state.may.includes(me)) {
      me = state.may[0] ?? '';
      again = me !== '';
    }
    render();
  } catch {
    live(false);
  } finally {
    asking = false;
    if (again) { again = false; refresh(); }
  }
};

const live = (on) => {
  $('live').classList.toggle('on', on);
  $('live').textContent = on ? 'live' : 'the stand-in is gone';
};
const events = new EventSource('events');
events.onopen = () => live(true);
events.onerror = () => live(false);
events.onmessage = refresh;
$('thread-close').onclick = () => show('');
