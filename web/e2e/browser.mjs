// Starts the browser that is installed here: CHROMIUM, or where Debian puts it.
import { chromium } from 'playwright-core';

export function launchBrowser() {
  // Chromium's sandbox does not work for root, whom containers like to use.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
}
