// Showing pictures for a number of frames. Times are those of the screen's frames, as requestAnimationFrame gives them.

const frame = () => new Promise(requestAnimationFrame);

// Frames a second, from the median of the time between frames.
export async function refreshRate(count = 40) {
  const gaps = [];
  let last = await frame();
  for (let i = 0; i < count; i += 1) {
    const now = await frame();
    gaps.push(now - last);
    last = now;
  }
  gaps.sort((a, b) => a - b);
  return 1000 / Math.max(gaps[gaps.length >> 1], 1);
}

export const framesOf = (ms, refreshHz) => Math.max(1, Math.round(ms * refreshHz / 1000));

// Shows layers one after the other, each { node, frames }; nothing lies between two of them. Gives for each layer
// how many frames it was on the screen and how many ms: a frame that came late counts as the frames it took.
export async function present(layers, refreshHz) {
  const results = [];
  const period = 1000 / refreshHz;
  let start = await frame();
  for (let i = 0; i < layers.length; i += 1) {
    const { node, frames } = layers[i];
    node.classList.add("on");
    let now = start;
    do { now = await frame(); } while (Math.round((now - start) / period) < frames);
    node.classList.remove("on");
    results.push({ frames: Math.round((now - start) / period), ms: now - start });
    start = now;
  }
  return results;
}

// A canvas with a picture drawn on it, hidden until it gets the class "on".
export function canvasOf(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").drawImage(image, 0, 0);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "picture");
  return canvas;
}

// Whether the page was hidden since this was called.
export function watchHidden() {
  let hidden = document.hidden;
  const note = () => { hidden ||= document.hidden; };
  document.addEventListener("visibilitychange", note);
  return () => { document.removeEventListener("visibilitychange", note); return hidden; };
}
