// Draw, or take a photograph; ask, one question at a time; show each backend's answer.

const find = (id) => document.getElementById(id);
const board = find("board");
const ink = board.getContext("2d", { willReadFrequently: true });
const SIDE = board.width; // pixels
const STROKE = SIDE / 12; // as thick as in MNIST when the digit is scaled to 20 of 28 pixels
const SENT = SIDE / 4; // pixels per side of the drawing sent: five for each that the network sees
const PHOTO = 512; // pixels on the longer side of the photograph sent
const STEP = SIDE / 40; // of the pen for each arrow key
const POLL = 500; // milliseconds between checks while backends start
const DIGITS = [..."0123456789"]; // the classes of a model that does not name them
const PAUSE = 600; // milliseconds without change before the answer is read aloud

let drawing = 0; // counts changes, to recognise an answer to an older drawing
let asking = false;

// The board shows its steps from the last photograph or Clear on; Undo takes the last one back.
const steps = []; // each a stroke { points }, a photograph { photo }, or Clear { }

const isStart = ({ points }) => !points;
const photo = () => steps.findLast(isStart)?.photo;
const isEmpty = () => !steps.length || !(steps.at(-1).points || steps.at(-1).photo);

function beginStroke(at) {
  if (photo()) clear();
  steps.push({ points: [at] });
  paintLine(at, at);
  changed();
}

function draw(to) {
  const { points } = steps.at(-1);
  paintLine(points.at(-1), to);
  points.push(to);
  changed();
}

function clear() {
  if (!isEmpty()) steps.push({});
  redraw();
}

function undo() {
  steps.pop();
  redraw();
}

function redraw() {
  last = null;
  ink.fillStyle = "#000";
  ink.fillRect(0, 0, SIDE, SIDE);
  ink.strokeStyle = "#fff";
  ink.lineWidth = STROKE;
  ink.lineCap = ink.lineJoin = "round";
  steps.slice(Math.max(0, steps.findLastIndex(isStart))).forEach(paint);
  changed();
}

function paint({ points, photo }) {
  points?.forEach((to, at) => paintLine(points[Math.max(0, at - 1)], to));
  if (!photo) return;
  const scale = SIDE / Math.max(photo.width, photo.height);
  const [width, height] = [photo.width * scale, photo.height * scale];
  ink.drawImage(photo, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
}

function paintLine(from, to) {
  ink.beginPath();
  ink.moveTo(from.x, from.y);
  ink.lineTo(to.x + 0.1, to.y); // a line of length 0 would draw no dot
  ink.stroke();
}

function changed() {
  drawing += 1;
  find("undo").disabled = !steps.length;
  if (!isEmpty()) return ask();
  forget();
}

// A photograph that is chosen, dropped or pasted

async function take(file) {
  if (!file) return;
  try {
    steps.push({ photo: await createImageBitmap(file) });
    redraw();
  } catch {
    showAgreement(`This browser cannot read ${file.name}; choose a JPEG or PNG.`);
  }
}

find("choose").addEventListener("click", () => find("photo").click());
find("photo").addEventListener("change", ({ target }) => {
  take(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));

// Mouse, finger and pen

let last = null;

function place(event) {
  const { left, top, width, height } = board.getBoundingClientRect();
  return {
    x: ((event.clientX - left) / width) * SIDE,
    y: ((event.clientY - top) / height) * SIDE,
  };
}

board.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button !== 0) return;
  board.setPointerCapture(event.pointerId);
  const at = place(event);
  beginStroke(at);
  last = at;
});

board.addEventListener("pointermove", (event) => {
  if (!last || !event.isPrimary) return;
  const between = event.getCoalescedEvents?.() ?? [];
  for (const each of between.length ? between : [event]) {
    last = place(each);
    draw(last);
  }
});

for (const end of ["pointerup", "pointercancel"]) {
  board.addEventListener(end, (event) => {
    if (event.isPrimary) last = null;
  });
}

// Keyboard

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
let pen = { x: SIDE / 2, y: SIDE / 4 };

function movePen(x, y) {
  const within = (value) => Math.min(Math.max(value, STROKE), SIDE - STROKE);
  pen = { x: within(x), y: within(y) };
  find("pen").style.left = `${(100 * pen.x) / SIDE}%`;
  find("pen").style.top = `${(100 * pen.y) / SIDE}%`;
}

board.addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key];
  const isDown = find("pen").classList;
  if (event.key === " ") {
    if (isDown.toggle("down")) beginStroke({ ...pen });
  } else if (event.key === "Escape") {
    lift();
    clear();
  } else if (arrow) {
    movePen(pen.x + arrow[0] * STEP, pen.y + arrow[1] * STEP);
    if (isDown.contains("down")) draw({ ...pen });
  } else {
    return;
  }
  event.preventDefault();
});

function lift() {
  find("pen").classList.remove("down");
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey) return;
  event.preventDefault();
  lift();
  undo();
});

// Questions and answers

async function ask() {
  if (asking) return; // the loop below asks again after the current question
  asking = true;
  let asked;
  do {
    asked = drawing;
    const found = await fetched("predict", { method: "POST", body: await picture() });
    if (isEmpty()) break;
    if (found) {
      show(found.backends);
      showSeen(found.seen);
      showAgreement(found.agreement, found.verdict);
    } else {
      forget();
    }
  } while (asked !== drawing);
  asking = false;
}

function picture() {
  const from = photo() ?? board;
  const longest = Math.max(from.width, from.height);
  const scale = Math.min(1, (photo() ? PHOTO : SENT) / longest);
  const small = document.createElement("canvas");
  small.width = Math.max(1, Math.round(from.width * scale));
  small.height = Math.max(1, Math.round(from.height * scale));
  const pencil = small.getContext("2d");
  pencil.imageSmoothingQuality = "high";
  pencil.drawImage(from, 0, 0, small.width, small.height);
  return new Promise((done) => small.toBlob(done, "image/png"));
}

async function follow() {
  const ready = (states) => states.filter(({ version }) => version).length;
  const states = await fetched("backends");
  if (!states) return;
  const news = ready(states) - ready(known);
  if (isEmpty()) show(states);
  else if (news) ask();
  if (states.some(({ version, failure }) => !version && !failure)) setTimeout(follow, POLL);
}

async function fetched(path, request) {
  try {
    const response = await fetch(path, request);
    const content = await response.json();
    if (response.ok) return content;
    showAgreement(content.error);
  } catch {
    showAgreement("The demo has ended; start it again.");
  }
  return null;
}

// Show the answers

let known = [];

function show(states) {
  known = states;
  const models = new Set(states.map(({ model }) => model));
  find("model").textContent = models.size ? `Model: ${[...models].join(", ")}` : "";
  states.forEach((state, index) => showBackend(find("backends").children[index] ?? card(), state));
  if (isEmpty()) invite(states[0]?.class_names ?? DIGITS);
}

function forget() {
  show(known.map(({ answer, probabilities, milliseconds, ...state }) => state));
  showSeen(null);
}

function invite(names) {
  const areDigits = names.every((name, label) => name === DIGITS[label]);
  const [heading, words] = areDigits
    ? ["Draw a digit", "Draw a digit from 0 to 9."]
    : ["Draw a picture", `Draw one of these: ${names.join(", ")}.`];
  find("heading").textContent = heading;
  document.title = `lenet-multi: ${heading.toLowerCase()}`;
  if (find("agreement").textContent !== words) showAgreement(words);
}

function card() {
  const made = find("card").content.cloneNode(true).firstElementChild;
  for (let digit = 0; digit < 10; digit += 1) {
    const row = document.createElement("li");
    for (const name of ["digit", "track", "percent"]) {
      row.appendChild(document.createElement("span")).className = name;
    }
    row.querySelector(".track").appendChild(document.createElement("div")).className = "bar";
    made.querySelector("ol").append(row);
  }
  return find("backends").appendChild(made);
}

function showBackend(made, state) {
  const { backend, version, failure, answer, probabilities, milliseconds } = state;
  const name = (digit) => state.class_names?.[digit] ?? digit;
  const write = (name, text) => (made.querySelector(`.${name}`).textContent = text);
  const percent = (share, digits) => `${(100 * share).toFixed(digits)}%`;
  const timed = milliseconds ? `${milliseconds.toFixed(1)} ms` : "ready";
  made.dataset.backend = backend;
  made.classList.toggle("named", Boolean(state.class_names));
  write("name", backend);
  write("version", version ?? "");
  write("answer", answer == null ? "" : name(answer));
  write("share", probabilities ? percent(probabilities[answer], 1) : "");
  write("note", failure ? `Failed: ${failure}` : !version ? "starting …" : timed);
  made.classList.toggle("failed", Boolean(failure));
  made.querySelectorAll("li").forEach((row, digit) => {
    row.querySelector(".digit").textContent = name(digit);
    row.classList.toggle("chosen", digit === answer);
    row.querySelector(".bar").style.width = `${100 * (probabilities?.[digit] ?? 0)}%`;
    row.querySelector(".percent").textContent = probabilities
      ? percent(probabilities[digit], 0)
      : "";
  });
}

function showSeen(rows) {
  const seen = find("seen").getContext("2d");
  const image = seen.createImageData(28, 28);
  image.data.set((rows ?? []).flat().flatMap((level) => [level, level, level, 255]));
  seen.putImageData(image, 0, 0);
}

let rest;

function showAgreement(words, verdict = "") {
  find("agreement").textContent = words;
  find("agreement").className = verdict;
  clearTimeout(rest);
  rest = setTimeout(() => (find("spoken").textContent = words), PAUSE);
}

find("undo").addEventListener("click", () => (lift(), undo()));
find("clear").addEventListener("click", () => (lift(), clear()));
redraw();
movePen(pen.x, pen.y);
follow();
