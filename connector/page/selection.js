import { byId } from "./elements.js";

// What the reader of a section looks for, and in which order. `values` gives for each name in a heading's `data-sort`
// what to sort an entry [key, value] by: a text or a number, or undefined, which comes last.
export class Selection {
  #heads;
  #find;
  #values;
  #by = null;
  #descends = false;

  constructor(section, values, onChange) {
    this.#heads = [...byId(section).querySelectorAll("[data-sort]")];
    this.#find = byId(`${section}-find`);
    this.#values = values;
    this.#find.addEventListener("input", onChange);
    for (const head of this.#heads) {
      head.addEventListener("click", () => {
        this.#press(head.dataset.sort);
        onChange();
      });
    }
  }

  // A heading that is pressed again and again sorts up, sorts down, and gives the first order back.
  #press(name) {
    const pressedAgain = this.#by === name;
    this.#by = pressedAgain && this.#descends ? null : name;
    this.#descends = pressedAgain && !this.#descends;
    for (const head of this.#heads) {
      const column = head.closest("th");
      if (head.dataset.sort === this.#by) column.ariaSort = this.#descends ? "descending" : "ascending";
      else column.removeAttribute("aria-sort");
    }
  }

  // Return the entries in whose texts the reader's words are found, in order; `texts` gives the texts of an entry.
  of(entries, texts) {
    const sought = this.#find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = entries.filter((entry) => {
      const text = texts(entry).join(" ").toLowerCase();
      return sought.every((word) => text.includes(word));
    });
    if (this.#by === null) return found;
    const value = this.#values[this.#by];
    const compare = (one, other) => (typeof one === "number" ? one - other : String(one).localeCompare(String(other)));
    const isNothing = (one) => one === undefined || one === "" || Number.isNaN(one);
    return found
      .map((entry) => [value(entry), entry])
      .sort(([one], [other]) => isNothing(one) - isNothing(other) || (isNothing(one) ? 0 : compare(one, other) * (this.#descends ? -1 : 1)))
      .map(([, entry]) => entry);
  }
}
