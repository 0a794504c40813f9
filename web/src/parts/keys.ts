/** Whether a key belongs to a control, or to the browser, and so to no shortcut of a view. */

const FIELDS = "input:not([type=range]):not([type=radio]):not([type=checkbox]), textarea, select, dialog";

/** Whether a letter is typed into a field. */
export function isTyping(event: KeyboardEvent): boolean {
  return event.defaultPrevented || event.altKey || within(event, FIELDS);
}

/** Whether an arrow key moves within a control: a slider, a choice, a gallery, a matrix, an open menu. */
export function isMoving(event: KeyboardEvent): boolean {
  const modified = event.ctrlKey || event.metaKey || event.shiftKey;
  return modified || isTyping(event) || within(event, "input, [role=group], [role=application], details");
}

function within(event: KeyboardEvent, selector: string): boolean {
  return event.target instanceof Element && event.target.closest(selector) !== null;
}
