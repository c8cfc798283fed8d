type Theme = 'light' | 'dark';

const KEY = 'libc-dns-audit-theme';

const system = (): Theme => (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');

/** Returns the theme that the reader chose last; undefined if there is none or storage is forbidden. */
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
    // Storage is forbidden: the next visit starts with the system's theme.
  }
}

/** Makes the button switch between light and dark. Until the first press the system's theme applies. */
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
