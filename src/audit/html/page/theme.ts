type Theme = 'light' | 'dark';

const KEY = 'libc-dns-audit-theme';

const system = (): Theme => (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');

/** What the reader chose the last time. Storage may be forbidden: then each visit begins with the system's theme. */
function remembered(): Theme | undefined {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : undefined;
  } catch {
    return undefined;
  }
}

function remember(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Not remembered.
  }
}

/** Lets a button change between light and dark; until it is pressed the system decides. */
export function themeToggle(button: HTMLButtonElement): void {
  const root = document.documentElement;
  const current = (): Theme => (root.dataset['theme'] as Theme | undefined) ?? system();
  const label = (): void => {
    button.textContent = current() === 'dark' ? 'Light theme' : 'Dark theme';
  };
  const saved = remembered();
  if (saved) root.dataset['theme'] = saved;
  button.addEventListener('click', () => {
    root.dataset['theme'] = current() === 'dark' ? 'light' : 'dark';
    remember(current());
    label();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', label);
  label();
  button.hidden = false;
}
