// The little that is needed between data and page: make elements, change only what differs, keep lists in step.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else attr(element, name, value);
  }
  element.append(...children.filter(child => child != null));
  return element;
}

export function attr(element, name, value) {
  if (value === false || value == null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? '' : value);
}

export function text(element, value) {
  const wanted = value ?? '';
  if (element.firstChild?.nodeType === Node.TEXT_NODE && element.childNodes.length === 1) {
    if (element.firstChild.data !== wanted) element.firstChild.data = wanted;
  } else if (element.textContent !== wanted || element.childNodes.length > 1) {
    element.textContent = wanted;
  }
}

// Brings a parent's children to the items: those with a key that is there already are kept, moved and updated.
export function sync(parent, items, keyOf, make, update) {
  const known = parent.known ??= new Map();
  const wanted = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    wanted.add(key);
    let view = known.get(key);
    if (!view) {
      view = make(item);
      known.set(key, view);
    }
    update(view, item);
    const element = view.element ?? view;
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const [key, view] of known) {
    if (!wanted.has(key)) {
      (view.element ?? view).remove();
      known.delete(key);
    }
  }
}

export const byId = id => document.getElementById(id);
