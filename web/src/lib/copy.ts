// Copying text. Browsers keep `navigator.clipboard` from pages that came by plain HTTP over a network.

/** Whether the text is on the clipboard now. */
export async function copyText(text: string): Promise<boolean> {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }
  const carrier = document.createElement('textarea');
  carrier.value = text;
  // Outside an open dialog nothing can be selected.
  (document.querySelector('dialog[open]') ?? document.body).append(carrier);
  carrier.select();
  const done = document.execCommand('copy');
  carrier.remove();
  return done;
}
