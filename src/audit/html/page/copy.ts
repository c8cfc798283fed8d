import { element } from './element.ts';

/** Milliseconds for which the button says that it has copied. */
const SHOWN_MS = 2000;

/** Copies text. Pages over plain HTTP have no clipboard of their own (Secure Contexts): there the old way copies a selection. */
async function copy(text: string, beside: HTMLElement): Promise<boolean> {
  const clipboard = navigator.clipboard as Clipboard | undefined;
  if (clipboard !== undefined) {
    try {
      await clipboard.writeText(text);
      return true;
    } catch {
      // Forbidden by the viewer that shows the page.
    }
  }
  const field = element('textarea', { class: 'hidden', 'aria-hidden': 'true', tabindex: '-1' });
  field.value = text;
  beside.after(field);
  field.select();
  const copied = document.execCommand('copy');
  field.remove();
  beside.focus();
  return copied;
}

/** Returns a button that copies the text. */
export function copyButton(text: string): HTMLButtonElement {
  const label = 'Copy';
  const button = element('button', { type: 'button', class: 'copy' }, label);
  button.setAttribute('aria-label', `Copy: ${text}`);
  const press = async (): Promise<void> => {
    button.textContent = (await copy(text, button)) ? 'Copied' : 'Not allowed here';
    setTimeout(() => {
      button.textContent = label;
    }, SHOWN_MS);
  };
  button.addEventListener('click', () => void press());
  return button;
}
