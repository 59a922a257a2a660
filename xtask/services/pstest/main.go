// The in-memory Pub/Sub of Google's Go client as a process, on a port of one's choosing.
//
// Debian's version of the package chooses its port itself, so connections are relayed to it.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"time"

	"cloud.google.com/go/pubsub/pstest"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8085", "where to listen")
	flag.Parse()
	pstest.SetMinAckDeadline(time.Second)
	server := pstest.NewServer()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go relay(client, server.Addr)
	}
}

// relay passes bytes on both ways until one side ends.
func relay(client net.Conn, addr string) {
	defer client.Close()
	upstream, err := net.Dial("tcp", addr)
	if err != nil {
		log.Print(err)
		return
	}
	defer upstream.Close()
	done := make(chan struct{}, 2)
	pass := func(to, from net.Conn) {
		io.Copy(to, from)
		done <- struct{}{}
	}
	go pass(upstream, client)
	go pass(client, upstream)
	<-done
}
