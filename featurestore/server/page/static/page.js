// All the script there is: the theme, the search while one types, and the look-up form. Every page works without it but for
// the look-up.
"use strict";

(() => {
  const THEMES = ["automatic", "light", "dark"];
  const root = document.documentElement;

  // A cookie keeps the theme, so that the server can write it into the page before anything is painted.
  const themeSwitch = (button) => {
    const say = () => { button.textContent = `Theme: ${root.dataset.theme || "automatic"}`; };
    button.hidden = false;
    say();
    button.addEventListener("click", () => {
      const theme = THEMES[(THEMES.indexOf(root.dataset.theme || "automatic") + 1) % THEMES.length];
      if (theme === "automatic") delete root.dataset.theme;
      else root.dataset.theme = theme;
      document.cookie = `featurestore_theme=${theme}; path=/; samesite=lax; max-age=31536000`;
      say();
    });
  };

  // The search: the server answers the same page as without script, of which the results are taken.
  const liveSearch = (form) => {
    let waiting = 0, asked = 0;
    const search = async () => {
      const number = ++asked;
      const query = new URLSearchParams();
      for (const [name, value] of new FormData(form)) if (value) query.set(name, value);
      const address = `/?${query}`.replace(/\?$/, "");
      const answer = await fetch(address, { headers: { accept: "text/html" } });
      if (!answer.ok || answer.redirected) { location.assign(address); return; }
      const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("results");
      if (number !== asked || !found) return; // a newer one is on its way
      document.getElementById("results").replaceWith(document.adoptNode(found));
      document.getElementById("said").textContent = document.getElementById("found").textContent;
      history.replaceState(null, "", address);
    };
    const soon = () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => search().catch(() => form.submit()), 150);
    };
    form.addEventListener("input", soon);
    form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(waiting); search().catch(() => form.submit()); });
  };

  // The look-up. Whole numbers go and come as text: 64 bits are more than a Number holds. Fields have no name of HTML's, which
  // would stand before the form's own members: a key may be called "elements".
  const asJson = (text, type) => {
    if (text === "") return "null";
    if (type === "integer") {
      if (!/^-?\d{1,20}$/.test(text)) throw new Error(`${text} is no whole number`);
      return JSON.stringify(BigInt(text).toString());
    }
    if (type === "json") return JSON.stringify(JSON.parse(text));
    if (type === "number") {
      const number = Number(text);
      if (!Number.isFinite(number)) throw new Error(`${text} is no number`);
      return JSON.stringify(number);
    }
    if (type === "bool") {
      if (text !== "true" && text !== "false") throw new Error(`${text} is neither true nor false`);
      return text;
    }
    return JSON.stringify(text);
  };

  const question = (form) => {
    const part = (name) => [...form.elements].filter((field) => field.dataset.part === name).map((field) => {
      try {
        return `${JSON.stringify(field.dataset.name)}: [${asJson(field.value.trim(), field.dataset.type)}]`;
      } catch (error) {
        throw new Error(`${field.dataset.name}: ${error.message}`);
      }
    });
    const request = part("request");
    const fields = [
      `"feature_service": ${JSON.stringify(form.dataset.service)}`,
      `"entities": {${part("key").join(", ")}}`,
      ...(request.length ? [`"request": {${request.join(", ")}}`] : []),
      '"include": ["statuses", "event_timestamps"]',
      '"int64": "string"',
    ];
    return `{${fields.join(", ")}}`;
  };

  const cell = (row, text, tag = "td") => { row.appendChild(document.createElement(tag)).textContent = text; };

  const shown = (value) => (value === null ? "NULL" : typeof value === "string" ? value : JSON.stringify(value));

  const answered = (form, found) => {
    const table = document.createElement("table");
    table.createCaption().textContent = `As of ${found.as_of}`;
    const head = table.createTHead().insertRow();
    for (const name of ["Feature", "Value", "Status", "Event time"]) { cell(head, name, "th"); head.lastChild.scope = "col"; }
    const body = table.createTBody();
    found.feature_names.forEach((name, i) => {
      const row = body.insertRow();
      cell(row, name, "th");
      row.lastChild.scope = "row";
      cell(row, shown(found.rows[0][i]));
      cell(row, found.statuses ? found.statuses[0][i] : "");
      cell(row, (found.event_timestamps && found.event_timestamps[0][i]) || "");
    });
    return table;
  };

  const lookUp = (form) => {
    const place = document.getElementById("answer");
    const fail = (text) => {
      const p = document.createElement("p");
      p.className = "alert";
      p.textContent = text;
      place.replaceChildren(p);
    };
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        const body = question(form);
        const answer = await fetch("/v1/online-features", {
          method: "POST", body, headers: { "content-type": "application/json", accept: "application/json" },
        });
        const found = await answer.json();
        if (answer.ok) place.replaceChildren(answered(form, found));
        else fail(`${found.code}: ${found.detail}${found.try ? ` · try ${found.try}` : ""}`);
      } catch (error) {
        fail(error.message);
      }
    });
    for (const hidden of document.querySelectorAll("[data-needs-script]")) hidden.hidden = false;
  };

  const found = (selector, use) => { const element = document.querySelector(selector); if (element) use(element); };
  found("#theme", themeSwitch);
  found("form[data-live]", liveSearch);
  found("form[data-service]", lookUp);
})();
