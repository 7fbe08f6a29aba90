// People in one LiveKit room: one sends a camera's packets, the others receive them as real clients do (ICE,
// DTLS, SRTP, transport-wide feedback, all of Pion). The clients are those of the server's own tests.
//
//	load_livekit URL KEY SECRET RECEIVERS FPS
//
// Says "ready" once everybody receives, then sends until its input is closed.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/livekit/livekit-server/pkg/telemetry/prometheus"
	"github.com/livekit/livekit-server/test/client"
	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
)

const (
	// Eight packets of Pion's packetiser (RTP of at most 1200 bytes), as near to eight of 1112 as it lets us.
	frameBytes = 8 * 1150
	// Where nobody is served by then, something is wrong.
	patience = 40 * time.Second
)

func join(url, key, secret, name string) *client.RTCClient {
	grant := &auth.VideoGrant{RoomJoin: true, Room: "bench"}
	token, err := auth.NewAccessToken(key, secret).SetVideoGrant(grant).SetIdentity(name).ToJWT()
	if err != nil {
		log.Fatal(err)
	}
	options := &client.Options{AutoSubscribe: true}
	connection, err := client.NewWebSocketConn(url, token, options)
	if err != nil {
		log.Fatal(err)
	}
	one, err := client.NewRTCClient(connection, false, options)
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = one.Run() }()
	if err := one.WaitUntilConnected(patience); err != nil {
		log.Fatal(err)
	}
	return one
}

// A VP8 frame of noughts: what servers look at is whether it is a key frame, and of which size.
func frame(key bool) []byte {
	bytes := make([]byte, frameBytes)
	if key {
		copy(bytes, []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01})
	} else {
		bytes[0] = 0x11
	}
	return bytes
}

func main() {
	url, key, secret := os.Args[1], os.Args[2], os.Args[3]
	receivers, _ := strconv.Atoi(os.Args[4])
	fps, _ := strconv.ParseFloat(os.Args[5], 64)

	// The clients' transport is the server's own, which counts.
	if err := prometheus.Init("load", livekit.NodeType_SERVER); err != nil {
		log.Fatal(err)
	}
	sender := join(url, key, secret, "sender")
	capability := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}
	camera, err := webrtc.NewTrackLocalStaticSample(capability, "camera", "camera")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := sender.AddTrack(camera, "", client.AddTrackNoWriter()); err != nil {
		log.Fatal(err)
	}
	go func() {
		every := time.Duration(float64(time.Second) / fps)
		tick := time.NewTicker(every)
		for n := 0; ; n++ {
			<-tick.C
			// One key frame in ten: nobody waits long for a first picture, and nobody's request is answered.
			if err := camera.WriteSample(media.Sample{Data: frame(n%10 == 0), Duration: every}); err != nil {
				log.Print(err)
			}
		}
	}()
	var all []*client.RTCClient
	for n := 0; n < receivers; n++ {
		all = append(all, join(url, key, secret, fmt.Sprintf("receiver-%d", n)))
	}
	limit := time.Now().Add(patience)
	for _, one := range all {
		for one.BytesReceived() == 0 {
			if time.Now().After(limit) {
				log.Fatal("somebody receives nothing")
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	var bytes uint64
	for _, one := range all {
		bytes += one.BytesReceived()
	}
	fmt.Println(bytes)
}
