// The direct chat with the focus that carries call signalling: found again, or made with the focus in the invite list
// (homeservers limit later invites to a few an hour).

import { ClientEvent, EventType, type MatrixClient, Preset, type Room, RoomStateEvent } from "matrix-js-sdk";
import { Trouble } from "../protocol/errors.ts";
import { FOCUS_JOIN_MS } from "../protocol/limits.ts";
import { isEncrypted } from "./rooms.ts";
import { politely } from "./send.ts";

/** The room id, once the focus is in it. */
export async function directRoom(client: MatrixClient, focus: string): Promise<string> {
    const roomId = find(client, focus) ?? (await create(client, focus));
    await focusJoined(client, roomId, focus);
    return roomId;
}

function find(client: MatrixClient, focus: string): string | null {
    const usable = directRooms(client, focus)
        .map((roomId) => client.getRoom(roomId))
        .filter((room): room is Room => room !== null && isUsable(room, focus));
    const joined = usable.find((room) => room.getMember(focus)?.membership === "join");
    return (joined ?? usable[0])?.roomId ?? null;
}

/** Nobody else may be in it: signalling names the addresses of this device. */
function isUsable(room: Room, focus: string): boolean {
    const membership = room.getMember(focus)?.membership;
    const others = room.getMembers().filter((member) => member.membership === "join" || member.membership === "invite");
    return room.getMyMembership() === "join" && (membership === "join" || membership === "invite") && others.length === 2 && isEncrypted(room);
}

function directRooms(client: MatrixClient, focus: string): string[] {
    const direct: unknown = client.getAccountData(EventType.Direct)?.getContent()[focus];
    return Array.isArray(direct) ? direct.filter((roomId) => typeof roomId === "string") : [];
}

async function create(client: MatrixClient, focus: string): Promise<string> {
    const { room_id: roomId } = await politely(() =>
        client.createRoom({
            preset: Preset.PrivateChat,
            is_direct: true,
            invite: [focus],
            initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
        }),
    );
    const direct = { ...client.getAccountData(EventType.Direct)?.getContent() };
    direct[focus] = [...directRooms(client, focus), roomId];
    // Losing this note costs a new room at the next join, no more.
    client.setAccountDataRaw(EventType.Direct, direct).catch(() => undefined);
    return roomId;
}

function focusJoined(client: MatrixClient, roomId: string, focus: string): Promise<void> {
    // Encryption must have come by sync too, or the invite would leave in clear.
    const ready = () => {
        const room = client.getRoom(roomId);
        return room?.getMember(focus)?.membership === "join" && isEncrypted(room);
    };
    if (ready()) return Promise.resolve();
    return new Promise((resolve, reject) => {
        const end = (finish: () => void) => {
            clearTimeout(timer);
            client.off(RoomStateEvent.Update, check);
            client.off(ClientEvent.Room, check);
            finish();
        };
        const check = () => {
            if (ready()) end(resolve);
        };
        const timer = setTimeout(() => end(() => reject(new Trouble("focus_absent"))), FOCUS_JOIN_MS);
        client.on(RoomStateEvent.Update, check);
        // A room that sync brings whole, with a focus that was quick, is known by its id only after its state has been told of.
        client.on(ClientEvent.Room, check);
    });
}
