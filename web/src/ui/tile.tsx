import { useEffect, useRef } from "preact/hooks";
import type { Kind } from "../call/peer.ts";
import type { PictureSource } from "../protocol/names.ts";
import type { Rect } from "../viewing/layout.ts";
import { shownReaction } from "./emoji.ts";
import { Icon } from "./icons.tsx";
import type { Lock } from "./lock.ts";
import { Avatar, Picture } from "./parts.tsx";
import { GRADES, PAUSED, type TileState } from "./tilestate.ts";

interface TileProps {
    /** null: this person's own tile */
    member: number | null;
    source: PictureSource;
    id: string;
    name: string;
    rect: Rect | undefined;
    large: boolean;
    track: MediaStreamTrack | null;
    state: TileState;
    muted: Record<Kind, boolean>;
    lock: Lock;
    speaking: boolean;
    dominant: boolean;
    /** Place among the raised hands, 0: none. */
    hand: number;
    reaction: string | null;
    watch?: (element: HTMLElement) => () => void;
    onClick?: () => void;
}

export function Tile(props: TileProps) {
    const { member, source, id, name, rect, large, track, state, muted, lock, speaking, dominant, hand, reaction, watch, onClick } = props;
    const element = useRef<HTMLDivElement>(null);
    useEffect(() => (element.current ? watch?.(element.current) : undefined), []);
    const own = member === null;
    const screen = source === "screen";
    const label = screen ? `${name}'s screen` : name;
    const action = large ? "Press for the grid" : "Press to enlarge";
    const hint = GRADES[state.grade];
    // What can be read on the tile comes first and in the same order: people who steer by voice say what they see.
    const spoken = [
        label,
        lock.label,
        state.paused ? PAUSED : "",
        reaction ? shownReaction(reaction) : "",
        hand > 0 ? `${hand} in line with a raised hand` : "",
        speaking ? "speaking" : "",
        muted.audio ? "microphone off" : "",
        muted.video ? "camera off" : "",
        state.paused ? "" : hint,
        lock.text,
    ].filter(Boolean);
    const press = (event: KeyboardEvent) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        event.stopPropagation();
        onClick?.();
    };
    const names = ["tile", source, lock.tone, large && "large", own && "own", speaking && "speaking", dominant && "dominant", state.paused && "paused"];
    return (
        <div
            ref={element}
            class={names.filter(Boolean).join(" ")}
            style={rect && { transform: `translate(${rect.left}px, ${rect.top}px)`, width: `${rect.width}px`, height: `${rect.height}px` }}
            data-member={member ?? "own"}
            data-source={source}
            {...(own
                ? { role: "group", "aria-label": spoken.join(", ") }
                : { role: "button", tabIndex: 0, "aria-label": `${spoken.join(", ")}. ${action}`, "aria-pressed": large, onClick, onKeyDown: press })}
        >
            {!state.visible && <Avatar name={own ? id : name} id={id} />}
            <Picture track={track} mirrored={own && !screen} hidden={!state.visible} />
            <div class="caption" aria-hidden="true">
                {speaking && (
                    <span class="voice" title="Speaking">
                        <Icon name="sound" size={16} />
                    </span>
                )}
                {muted.audio && (
                    <span class="muted" title="Microphone off">
                        <Icon name="micOff" size={16} />
                    </span>
                )}
                {muted.video && (
                    <span class="muted" title="Camera off">
                        <Icon name="cameraOff" size={16} />
                    </span>
                )}
                <span class="name">{label}</span>{" "}
                {hint && (
                    <span class={`bars ${state.grade}`} title={hint}>
                        <Icon name="bars" size={16} />
                    </span>
                )}
                <span class={`lock ${lock.tone}`} title={lock.text}>
                    <Icon name={lock.icon} size={16} />
                    {lock.label && <span>{lock.label}</span>}
                </span>
            </div>{" "}
            {state.paused && (
                <p class="why" aria-hidden="true">
                    <Icon name="pause" size={18} /> {PAUSED}
                </p>
            )}{" "}
            {reaction && (
                <span class={shownReaction(reaction) === reaction ? "reaction" : "reaction word"} aria-hidden="true">
                    {shownReaction(reaction)}
                </span>
            )}{" "}
            {hand > 0 && (
                <span class="hand" aria-hidden="true" title={`Hand raised, number ${hand} in line`}>
                    <Icon name="hand" size={18} /> {hand}
                </span>
            )}
        </div>
    );
}
