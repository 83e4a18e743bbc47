// Light or dark: as the system has it, unless the user chose the other.
const KEY = 'impasto.theme';

type Look = 'light' | 'dark';

export class Theme {
  #chosen = $state<Look | null>(readChoice());
  #system = $state<Look>('light');

  readonly look: Look = $derived(this.#chosen ?? this.#system);

  constructor() {
    const dark = matchMedia('(prefers-color-scheme: dark)');
    this.#system = dark.matches ? 'dark' : 'light';
    dark.addEventListener('change', () => (this.#system = dark.matches ? 'dark' : 'light'));
    this.#show();
  }

  toggle() {
    const next: Look = this.look === 'dark' ? 'light' : 'dark';
    // Choosing what the system has means following it again.
    this.#chosen = next === this.#system ? null : next;
    if (this.#chosen) localStorage.setItem(KEY, this.#chosen);
    else localStorage.removeItem(KEY);
    this.#show();
  }

  #show() {
    if (this.#chosen) document.documentElement.dataset.theme = this.#chosen;
    else delete document.documentElement.dataset.theme;
  }
}

function readChoice(): Look | null {
  const stored = localStorage.getItem(KEY);
  return stored === 'light' || stored === 'dark' ? stored : null;
}
