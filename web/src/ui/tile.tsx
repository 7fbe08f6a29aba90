import type { Kind } from "../call/peer.ts";
import { Icon } from "./icons.tsx";
import type { Rect } from "./layout.ts";
import type { Lock } from "./lock.ts";
import { Avatar, Picture } from "./parts.tsx";

interface TileProps {
    /** null: this person's own tile */
    member: number | null;
    id: string;
    name: string;
    rect: Rect | undefined;
    large: boolean;
    track: MediaStreamTrack | null;
    visible: boolean;
    muted: Record<Kind, boolean>;
    lock: Lock;
    onClick?: () => void;
}

export function Tile({ member, id, name, rect, large, track, visible, muted, lock, onClick }: TileProps) {
    const own = member === null;
    const action = large ? "Click for the grid" : "Click to enlarge";
    const spoken = [name, muted.audio ? "microphone off" : "", muted.video ? "camera off" : "", lock.text].filter(Boolean).join(", ");
    const press = (event: KeyboardEvent) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        onClick?.();
    };
    return (
        <div
            class={`tile ${large ? "large" : ""} ${own ? "own" : ""} ${lock.tone}`}
            style={rect && { transform: `translate(${rect.left}px, ${rect.top}px)`, width: `${rect.width}px`, height: `${rect.height}px` }}
            data-member={member ?? "own"}
            {...(own ? { role: "group", "aria-label": spoken } : { role: "button", tabIndex: 0, "aria-label": `${spoken}. ${action}`, "aria-pressed": large, onClick, onKeyDown: press })}
        >
            {!visible && <Avatar name={own ? id : name} id={id} />}
            <Picture track={track} mirrored={own} hidden={!visible} />
            <div class="caption">
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
                <span class="name">{name}</span>
                <span class={`lock ${lock.tone}`} title={lock.text} role="img" aria-label={lock.text}>
                    <Icon name={lock.icon} size={16} />
                    {lock.label && <span>{lock.label}</span>}
                </span>
            </div>
        </div>
    );
}
