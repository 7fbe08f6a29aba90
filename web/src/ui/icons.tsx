// Line icons on a 24-unit grid. Decorative: the words are in the label of what carries them.

const PATHS = {
    mic: "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21M9 21h6",
    micOff: "M9 9v2a3 3 0 0 0 4.8 2.4M15 11V6a3 3 0 0 0-5.8-1M5.5 11a6.5 6.5 0 0 0 10.3 5.3M18.5 11c0 .9-.2 1.8-.5 2.6M12 17.5V21M9 21h6M4 3l16 18",
    camera: "M4 7.5h9a1.5 1.5 0 0 1 1.5 1.5v6a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 15V9A1.5 1.5 0 0 1 4 7.5ZM14.5 11l6-3v8l-6-3",
    cameraOff: "M8 7.5h5A1.5 1.5 0 0 1 14.5 9v5M14 16.3a1.5 1.5 0 0 1-1 .2H4A1.5 1.5 0 0 1 2.5 15V9c0-.8.6-1.4 1.3-1.5M14.5 11l6-3v8l-3-1.5M4 3l16 18",
    leave: "M3.5 14.5c-.7-1.5-.3-3 .9-4C6.5 8.8 9.2 8 12 8s5.5.8 7.6 2.5c1.2 1 1.6 2.5.9 4l-.5 1-4.2-1.2-.3-2.5c-1-.4-2.2-.6-3.5-.6s-2.5.2-3.5.6l-.3 2.5L4 15.5Z",
    lock: "M7 11V8a5 5 0 0 1 10 0v3M5.5 11h13v9h-13ZM12 14.5v2",
    unlock: "M7 11V8a5 5 0 0 1 9.6-2M5.5 11h13v9h-13ZM12 14.5v2",
    key: "M14.5 9.5a4.5 4.5 0 1 0-3.6 4.4L13 16h2v2h2v2h3v-3l-6-6c.3-.5.5-1 .5-1.5ZM9.2 9.2h.1",
    warning: "M12 4 2.5 20h19ZM12 10v4.5M12 17.3v.2",
    back: "M14.5 5.5 8 12l6.5 6.5",
    people: "M9 11.5a3.3 3.3 0 1 0 0-6.6 3.3 3.3 0 0 0 0 6.6ZM2.8 19c.5-3 3-5 6.2-5s5.7 2 6.2 5M15.5 5.2a3.3 3.3 0 0 1 0 6M17.5 14.3c2 .7 3.4 2.4 3.7 4.7",
    sound: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5ZM15.5 9a4 4 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
    return (
        <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <path d={PATHS[name]} />
        </svg>
    );
}
