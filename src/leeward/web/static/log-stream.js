// <log-stream src="…">: adds the lines of a stream to the list in it, and stays at the end while the reader is there.
const MOST = 2000;

class LogStream extends HTMLElement {
  connectedCallback() {
    this.box = this.querySelector("[role=log]");
    this.list = this.box.querySelector("ol");
    this.state = this.querySelector("[data-state]");
    this.jump = this.querySelector("[data-jump]");
    this.box.addEventListener("scroll", () => this.look());
    this.jump?.addEventListener("click", () => { this.end(); this.box.focus(); });
    this.end();
    if (this.getAttribute("src")) this.open();
  }

  disconnectedCallback() {
    this.source?.close();
  }

  open() {
    this.waiting = [];
    this.source = new EventSource(this.getAttribute("src"));
    // The stream begins with the last lines: also after a lost connection nothing is missing or there twice.
    this.source.onopen = () => { this.fresh = true; this.say("Live"); };
    this.source.onerror = () => this.say(this.source.readyState === EventSource.CLOSED ? "Ended" : "Connecting again");
    this.source.addEventListener("log", (event) => {
      this.waiting.push(JSON.parse(event.data));
      this.frame ??= requestAnimationFrame(() => this.add());
    });
    this.source.addEventListener("end", () => { this.source.close(); this.say("Ended"); });
  }

  add() {
    this.frame = null;
    const atEnd = this.atEnd;
    if (this.fresh) this.list.replaceChildren();
    this.fresh = false;
    this.list.append(...this.waiting.splice(0).slice(-MOST).map((line) => this.row(line)));
    while (this.list.childElementCount > MOST) this.list.firstElementChild.remove();
    if (atEnd) this.end();
    this.look();
  }

  row(line) {
    const row = document.createElement("li");
    if (line.stream === "stderr") row.className = "err";
    const time = document.createElement("time");
    const at = new Date(line.at * 1000).toISOString();
    [time.dateTime, time.textContent] = [at, at.slice(11, 19)];
    const process = document.createElement("b");
    process.textContent = line.process;
    const text = document.createElement("span");
    text.textContent = line.text;
    row.append(time, process, text);
    return row;
  }

  get atEnd() {
    return this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 40;
  }

  end() {
    this.box.scrollTop = this.box.scrollHeight;
  }

  look() {
    if (this.jump) this.jump.hidden = this.atEnd;
  }

  say(text) {
    if (!this.state) return;
    this.state.textContent = text;
    this.state.dataset.state = text;
  }
}

customElements.define("log-stream", LogStream);
