// Plays the chunks of a stream one after the other while they arrive. The value is
// {stream, rate, chunks: [{index, pcm}]}: the last few chunks, in case an update is lost.
let context = null, stream = null, heard = 0, start = 0, end = 0, timer = null;
let sources = [];
const shown = element.querySelector("[data-clock]");

function silence() {
  sources.forEach((source) => source.stop());
  sources = [];
  [heard, start, end] = [0, 0, 0];
}

function tick() {
  const now = context.currentTime;
  const seconds = Math.max(0, Math.min(now, end) - start);
  shown.textContent = end ? `${seconds.toFixed(1)} s of ${(end - start).toFixed(1)} s` : "";
  if (now >= end) {
    clearInterval(timer);
    timer = null;
  }
}

function schedule(chunk, rate) {
  const bytes = Uint8Array.from(atob(chunk.pcm), (char) => char.charCodeAt(0));
  const samples = new Int16Array(bytes.buffer);
  if (!samples.length) return;
  const buffer = context.createBuffer(1, samples.length, rate);
  buffer.getChannelData(0).set(Float32Array.from(samples, (value) => value / 32768));
  const source = context.createBufferSource();
  source.buffer = buffer;
  source.connect(context.destination);
  const now = context.currentTime;
  if (!end) start = now + 0.05;
  end = Math.max(end, now + 0.05);
  source.start(end);
  end += buffer.duration;
  sources.push(source);
}

watch("value", () => {
  const value = props.value;
  if (!value || value.stream !== stream) silence();
  stream = value ? value.stream : null;
  if (!value || !value.chunks.length) return;
  context = context || new AudioContext();
  context.resume();
  for (const chunk of value.chunks) {
    if (chunk.index < heard) continue;
    heard = chunk.index + 1;
    schedule(chunk, value.rate);
  }
  timer = timer || setInterval(tick, 100);
});
