import { useState } from "preact/hooks";
import type { App } from "../app.ts";
import { Brand, Problem } from "./parts.tsx";

export function SignIn({ app }: { app: App }) {
    const [homeserver, setHomeserver] = useState(app.typed.homeserver || (app.config?.homeserver ?? ""));
    const [user, setUser] = useState(app.typed.user);
    const [password, setPassword] = useState("");
    const submit = (event: Event) => {
        event.preventDefault();
        const address = /^https?:\/\//.test(homeserver) ? homeserver : `https://${homeserver}`;
        void app.signIn(address.trim().replace(/\/+$/, ""), user.trim(), password);
    };
    return (
        <main class="centre">
            <form class="card narrow" onSubmit={submit}>
                <Brand />
                <h1>Sign in with Matrix</h1>
                <Problem trouble={app.trouble} />
                <label>
                    Homeserver
                    <input type="text" inputMode="url" value={homeserver} onInput={(e) => setHomeserver(e.currentTarget.value)} required autocomplete="url" />
                </label>
                <label>
                    User name
                    <input
                        type="text"
                        value={user}
                        onInput={(e) => setUser(e.currentTarget.value)}
                        required
                        autofocus
                        autocomplete="username"
                        autocapitalize="none"
                        spellcheck={false}
                    />
                </label>
                <label>
                    Password
                    <input type="password" value={password} onInput={(e) => setPassword(e.currentTarget.value)} required autocomplete="current-password" />
                </label>
                <button class="primary" type="submit">
                    Sign in
                </button>
                <p class="hint">Your password goes to your homeserver only. Nothing that could sign you in again is stored.</p>
            </form>
        </main>
    );
}
