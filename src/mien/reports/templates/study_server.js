// Asking the server of a study. What must not get lost is sent again until the server has answered.

import { Failed, post, request } from "./server.js";

const PATIENCE = [500, 1000, 2000, 4000, 8000];  // ms between tries

async function once(path, body) {
  const options = body === undefined ? {} : post(JSON.stringify(body));
  return (await request(path, { ...options, signal: AbortSignal.timeout(20000) })).json();
}

export const refused = (error) => error instanceof Failed && error.status >= 400 && error.status < 500;

// onTrouble is called with words while the server is not reached, and with null when it is again.
export async function ask(path, body, onTrouble = () => {}) {
  for (let tries = 0; ; tries += 1) {
    try {
      const answer = await once(path, body);
      if (tries) onTrouble(null);
      return answer;
    } catch (error) {
      if (refused(error)) { onTrouble(null); throw error; }
      onTrouble("The server is not reached. Nothing is lost: your answer is sent again in a moment.");
      await new Promise(resolve => setTimeout(resolve, PATIENCE[Math.min(tries, PATIENCE.length - 1)]));
    }
  }
}

const bitmaps = new Map();

// A picture, decoded before anybody sees it.
export async function bitmap(name, onTrouble) {
  if (!bitmaps.has(name)) {
    for (let tries = 0; ; tries += 1) {
      try {
        const response = await fetch(`pictures/${name}`, { signal: AbortSignal.timeout(60000) });
        if (!response.ok) throw new Error(`the server answered ${response.status}`);
        bitmaps.set(name, await createImageBitmap(await response.blob()));
        if (tries) onTrouble(null);
        break;
      } catch {
        onTrouble("A picture cannot be loaded; it is tried again in a moment.");
        await new Promise(resolve => setTimeout(resolve, PATIENCE[Math.min(tries, PATIENCE.length - 1)]));
      }
    }
  }
  return bitmaps.get(name);
}

// Give the memory of pictures back that are not shown again.
export function forget(names) {
  for (const name of names) {
    bitmaps.get(name)?.close();
    bitmaps.delete(name);
  }
}
