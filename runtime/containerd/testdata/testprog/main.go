// Testprog is the one program of the driver's test image. Its first argument says
// how it behaves.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func main() {
	behaviours := map[string]func(args []string){
		"exit":   exit,
		"sleep":  sleep,
		"ignore": ignore,
		"eat":    eat,
		"show":   show,
		"echo":   echo,
		"lines":  lines,
		"write":  write,
		"serve":  serve,
		"raise":  raise,
		"answer": answer,
		"call":   call,
		"spin":   spin,
		"copy":   copyFile,
		"fail":   fail,
		"flood":  flood,
		"link":   link,
	}
	behave, ok := behaviours[os.Args[1]]
	if !ok {
		fmt.Fprintf(os.Stderr, "no behaviour %q\n", os.Args[1])
		os.Exit(64)
	}
	behave(os.Args[2:])
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

// exit ends with a code.
func exit(args []string) { os.Exit(number(args[0])) }

// sleep runs until it is asked to end, and then ends with code 0.
func sleep([]string) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1)
	fmt.Println("ready")
	fmt.Println("asked by", <-asked)
}

// ignore runs until it is killed.
func ignore([]string) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("ready")
	for range asked {
	}
}

// spin uses a core until it is killed.
func spin([]string) {
	fmt.Println("ready")
	for {
	}
}

// eat takes memory until it is killed.
func eat([]string) {
	fmt.Println("ready")
	var eaten [][]byte
	for {
		bite := make([]byte, 1<<20)
		for i := 0; i < len(bite); i += 4096 {
			bite[i] = 1
		}
		eaten = append(eaten, bite)
	}
}

// show prints files and then sleeps.
func show(args []string) {
	for _, name := range args {
		text, err := os.ReadFile(name)
		if err != nil {
			fmt.Println(err)
			continue
		}
		os.Stdout.Write(text)
	}
	sleep(nil)
}

// echo copies its input to its output and says on its other output how much.
func echo([]string) {
	n, err := io.Copy(os.Stdout, os.Stdin)
	fmt.Fprintln(os.Stderr, n, err)
}

// lines prints numbered lines and then sleeps.
func lines(args []string) {
	for i := range number(args[0]) {
		fmt.Println("line", i)
	}
	sleep(nil)
}

// write tries to write to each file and says how that went.
func write(args []string) {
	for _, name := range args {
		err := os.WriteFile(name, []byte("x"), 0o600)
		fmt.Println(name, err == nil)
	}
}

// serve answers on a unix socket.
func serve(args []string) {
	listener, err := net.Listen("unix", args[0])
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	panic(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "served by", os.Getuid())
	})))
}

// raise ends by a signal; the first process of a container needs one that the
// kernel does not shield it from.
func raise(args []string) {
	os.Exit(128 + number(args[0]))
}

// answer says its name to whoever calls on TCP.
func answer(args []string) {
	listener, err := net.Listen("tcp4", ":7000")
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	for {
		conn, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(conn, args[0])
		conn.Close()
	}
}

// call says what each address answers, or that it does not.
func call(args []string) {
	answers := make([]string, len(args))
	var all sync.WaitGroup
	for i, address := range args {
		all.Go(func() { answers[i] = callOne(address) })
	}
	all.Wait()
	for _, answer := range answers {
		fmt.Print(answer)
	}
}

func callOne(address string) string {
	conn, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return address + " unreachable\n"
	}
	defer conn.Close()
	said, _ := io.ReadAll(conn)
	return address + " " + string(said)
}

// copyFile copies one file to another; - is its input, or its output.
func copyFile(args []string) {
	from, to := os.Stdin, os.Stdout
	var err error
	if args[0] != "-" {
		if from, err = os.Open(args[0]); err != nil {
			panic(err)
		}
	}
	if args[1] != "-" {
		if to, err = os.Create(args[1]); err != nil {
			panic(err)
		}
	}
	if _, err := io.Copy(to, from); err != nil {
		panic(err)
	}
}

// fail complains and ends with a code.
func fail(args []string) {
	for i := range 2000 {
		fmt.Fprintln(os.Stderr, "complaint", i)
	}
	os.Exit(number(args[0]))
}

// flood writes without an end.
func flood([]string) {
	text := make([]byte, 64<<10)
	for {
		os.Stdout.Write(text)
	}
}

// link leaves a link to a file where another is asked for.
func link(args []string) {
	if err := os.Symlink(args[0], args[1]); err != nil {
		panic(err)
	}
}
