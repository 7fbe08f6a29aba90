// Where each tile goes. Pure: numbers of pixels in, rectangles out. One flat list of tiles, so that moving between grid
// and focus never makes a video element anew.

export interface Rect {
    left: number;
    top: number;
    width: number;
    height: number;
}

const GAP = 10;
const ASPECT = 16 / 9;
/** Room under an inset tile for the caption of the tile below it. */
const INSET = 46;
/** A strip tile narrower than this shows no face; wider takes the picture's room. */
const STRIP = { min: 132, max: 232, share: 0.19 };
/** Where so many must be shown that tiles would be narrower than this, the stage is scrolled instead. */
const LEAST = 96;
/** The large picture keeps at least so much of the stage. */
const MAIN_SHARE = 0.55;

/** `large` is the index of the focused tile, or null for the grid. */
export function layout(count: number, large: number | null, width: number, height: number): Rect[] {
    if (count === 0 || width < 1 || height < 1) return [];
    if (large === null || large >= count || count === 1) return grid(count, { left: 0, top: 0, width, height });
    if (count === 2 && width >= height) return insetOther(large, width, height);
    return width >= height ? besideStrip(count, large, width, height) : aboveStrip(count, large, width, height);
}

/** The number of columns that makes tiles largest; a short last row is centred. */
function grid(count: number, area: Rect): Rect[] {
    let best = { columns: 1, width: 0, height: 0 };
    for (let columns = 1; columns <= count; columns++) {
        const rows = Math.ceil(count / columns);
        const cellWidth = (area.width - GAP * (columns - 1)) / columns;
        const cellHeight = (area.height - GAP * (rows - 1)) / rows;
        // On a tall screen a single column may stand a little taller than 16:9, which fills it better.
        const tileWidth = Math.min(cellWidth, cellHeight * ASPECT);
        const tileHeight = Math.min(cellHeight, (tileWidth / ASPECT) * (area.height > area.width ? 1.35 : 1));
        if (tileWidth * tileHeight > best.width * best.height) best = { columns, width: tileWidth, height: tileHeight };
    }
    if (best.width < LEAST) {
        const columns = Math.max(1, Math.floor((area.width + GAP) / (LEAST + GAP)));
        const wide = (area.width - GAP * (columns - 1)) / columns;
        best = { columns, width: wide, height: wide / ASPECT };
    }
    const rows = Math.ceil(count / best.columns);
    const top = Math.max(0, area.top + (area.height - rows * best.height - (rows - 1) * GAP) / 2);
    return Array.from({ length: count }, (_, i) => {
        const row = Math.floor(i / best.columns);
        const inRow = row === rows - 1 ? count - row * best.columns : best.columns;
        const left = area.left + (area.width - inRow * best.width - (inRow - 1) * GAP) / 2;
        return {
            left: left + (i % best.columns) * (best.width + GAP),
            top: top + row * (best.height + GAP),
            width: best.width,
            height: best.height,
        };
    });
}

/** Two people: the other one fills the stage, the own picture lies in its corner. */
function insetOther(large: number, width: number, height: number): Rect[] {
    const main = fit({ left: 0, top: 0, width, height });
    const wide = Math.max(STRIP.min, Math.min(STRIP.max, main.width * STRIP.share));
    const tall = wide / ASPECT;
    return place(2, large, main, () => ({
        left: main.left + main.width - wide - GAP,
        top: main.top + main.height - tall - INSET,
        width: wide,
        height: tall,
    }));
}

function besideStrip(count: number, large: number, width: number, height: number): Rect[] {
    const others = count - 1;
    const usual = Math.min(STRIP.max, Math.max(STRIP.min, width * STRIP.share));
    const most = Math.max(1, Math.floor(((1 - MAIN_SHARE) * width) / (LEAST + GAP)));
    // As few columns as show everybody without scrolling, at a size that shows a face.
    let columns = 1;
    const fitting = () => (height / Math.ceil(others / columns) - GAP) * ASPECT;
    while (columns < most && fitting() < LEAST) columns++;
    const share = columns === 1 ? usual : Math.min(usual, ((1 - MAIN_SHARE) * width) / columns - GAP);
    const wide = Math.max(LEAST, Math.min(share, fitting()));
    const tall = wide / ASPECT;
    const rows = Math.ceil(others / columns);
    const left = width - columns * (wide + GAP) + GAP;
    const main = fit({ left: 0, top: 0, width: left - GAP, height });
    const top = Math.max(0, (height - rows * tall - (rows - 1) * GAP) / 2);
    return place(count, large, main, (i) => ({
        left: left + (i % columns) * (wide + GAP),
        top: top + Math.floor(i / columns) * (tall + GAP),
        width: wide,
        height: tall,
    }));
}

function aboveStrip(count: number, large: number, width: number, height: number): Rect[] {
    const others = count - 1;
    const wide = Math.max(LEAST, Math.min(STRIP.max, (width - GAP * (others - 1)) / Math.min(others, 4), height * 0.3));
    const tall = wide / ASPECT;
    const perRow = Math.max(1, Math.floor((width + GAP) / (wide + GAP)));
    const rows = Math.ceil(others / perRow);
    const stripHeight = rows * tall + (rows - 1) * GAP;
    // A little taller than the picture: a phone held upright has the room, and captions keep clear of faces.
    const room = Math.max(height * MAIN_SHARE * 0.8, height - stripHeight - GAP);
    const main = { left: 0, top: 0, width, height: Math.min(room, (width / ASPECT) * 1.35) };
    main.top = Math.max(0, (height - main.height - GAP - stripHeight) / 2);
    const top = main.top + main.height + GAP;
    return place(count, large, main, (i) => {
        const row = Math.floor(i / perRow);
        const inRow = Math.min(perRow, others - row * perRow);
        const left = (width - inRow * wide - (inRow - 1) * GAP) / 2;
        return { left: left + (i % perRow) * (wide + GAP), top: top + row * (tall + GAP), width: wide, height: tall };
    });
}

function place(count: number, large: number, main: Rect, strip: (i: number) => Rect): Rect[] {
    let next = 0;
    return Array.from({ length: count }, (_, i) => (i === large ? main : strip(next++)));
}

/** The largest 16:9 rectangle in the area, centred. */
function fit(area: Rect): Rect {
    const width = Math.min(area.width, area.height * ASPECT);
    const height = width / ASPECT;
    return { left: area.left + (area.width - width) / 2, top: area.top + (area.height - height) / 2, width, height };
}
