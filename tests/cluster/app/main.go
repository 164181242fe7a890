// A program that behaves, or misbehaves, as a test wishes.
//
//	app serve              answer on $PORT; end on SIGTERM once the open requests are answered
//	app load URL SECONDS   ask URL again and again, then, or at SIGTERM, print what came back as one line of JSON
//	app stop               send SIGTERM to the first process
//	app get URL [WAIT]     exit with 0 when URL answers 200, with 7 when it cannot be reached within WAIT seconds
//	app crash              print 'boom', exit with 3
//	app eat                take memory until it is killed
//	app silent             run, and never listen
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		os.Args = append(os.Args, "serve")
	}
	switch os.Args[1] {
	case "serve":
		serve()
	case "load":
		load(os.Args[2], seconds(3, 10))
	case "get":
		get(os.Args[2], seconds(3, 3))
	case "stop":
		if err := syscall.Kill(1, syscall.SIGTERM); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	case "crash":
		fmt.Println("boom")
		os.Exit(3)
	case "eat":
		eat()
	case "silent":
		wait()
	default:
		fmt.Println("no such way:", os.Args[1])
		os.Exit(2)
	}
}

func seconds(at int, otherwise float64) time.Duration {
	if len(os.Args) > at {
		if value, err := strconv.ParseFloat(os.Args[at], 64); err == nil {
			otherwise = value
		}
	}
	return time.Duration(otherwise * float64(time.Second))
}

func wait() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
}

func eat() {
	var kept [][]byte
	for {
		block := make([]byte, 1<<20)
		for at := range block {
			block[at] = 1
		}
		kept = append(kept, block)
		time.Sleep(time.Millisecond)
		if len(kept)%64 == 0 {
			fmt.Println(len(kept), "MiB")
		}
	}
}

func serve() {
	name, _ := os.Hostname()
	hello := fmt.Sprintf("%s %s\n", os.Getenv("VERSION"), name)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, hello) })
	mux.HandleFunc("/missing", http.NotFound)
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Second)
		fmt.Fprint(w, hello)
	})
	mux.HandleFunc("/burn", func(w http.ResponseWriter, r *http.Request) {
		sum := uint64(1)
		for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); {
			for range 10000 {
				sum = sum*6364136223846793005 + 1442695040888963407
			}
		}
		fmt.Fprintln(w, sum)
	})
	mux.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	server := &http.Server{Addr: ":" + port, Handler: mux}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	select {
	case err := <-failed:
		fmt.Println(err)
		os.Exit(1)
	case <-signals:
	}
	ending, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	if err := server.Shutdown(ending); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		os.Exit(1)
	}
}

func get(url string, within time.Duration) {
	client := &http.Client{Timeout: within}
	answer, err := client.Get(url)
	if err != nil {
		fmt.Println(err)
		os.Exit(7)
	}
	fmt.Println(answer.StatusCode)
	if answer.StatusCode != 200 {
		os.Exit(1)
	}
}

// A new connection for every second request: both what a pool keeps and what it opens must survive a release.
func load(url string, long time.Duration) {
	end := time.Now().Add(long)
	var stopped atomic.Bool
	go func() {
		wait()
		stopped.Store(true)
	}()
	var sent, failed atomic.Int64
	var lock sync.Mutex
	var times []float64
	reasons := map[string]int{}
	var group sync.WaitGroup
	for range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			pooled := &http.Client{Timeout: 10 * time.Second}
			for count := 0; time.Now().Before(end) && !stopped.Load(); count++ {
				client := pooled
				if count%2 == 0 {
					client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
				}
				began := time.Now()
				reason := once(client, url)
				took := time.Since(began).Seconds() * 1000
				sent.Add(1)
				lock.Lock()
				times = append(times, took)
				if reason != "" {
					failed.Add(1)
					reasons[reason]++
				}
				lock.Unlock()
				time.Sleep(5 * time.Millisecond)
			}
		}()
	}
	group.Wait()
	sort.Float64s(times)
	at := func(share float64) float64 { return times[int(share*float64(len(times)-1))] }
	text, _ := json.Marshal(map[string]any{
		"requests": sent.Load(), "failed": failed.Load(), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1), "reasons": reasons,
	})
	fmt.Println(string(text))
}

func once(client *http.Client, url string) string {
	answer, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	buffer := make([]byte, 4096)
	for {
		if _, err := answer.Body.Read(buffer); err != nil {
			if err.Error() == "EOF" {
				break
			}
			return err.Error()
		}
	}
	if answer.StatusCode != 200 {
		return strconv.Itoa(answer.StatusCode)
	}
	return ""
}
