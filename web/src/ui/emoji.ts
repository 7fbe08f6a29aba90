// Emoji where the system has no font for them: words are better than boxes.

const WORDS: Record<string, string> = { "👍": "Yes", "❤️": "Love", "😂": "Ha ha", "👏": "Bravo", "🎉": "Hooray", "😮": "Wow" };

let drawn: boolean | null = null;

/** What to show for a reaction: itself, or a word where it would be a box. */
export function shownReaction(key: string): string {
    return hasEmoji() ? key : (WORDS[key] ?? "★");
}

/** What it is called, for who hears it. */
export function reactionName(key: string): string {
    return WORDS[key] ?? key;
}

/** A glyph that is missing looks like any other missing one. */
function hasEmoji(): boolean {
    return (drawn ??= picture("👏") !== picture("\u{10fffd}"));
}

function picture(text: string): string {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 24;
    const context = canvas.getContext("2d");
    if (!context) return "";
    context.font = "20px sans-serif";
    context.textBaseline = "top";
    context.fillText(text, 0, 0);
    return canvas.toDataURL();
}
