// pause does nothing until it is asked to end. It holds the namespaces of a pod, and stands in for the programs of images that
// no registry has here. Called with --stubborn, it does not end when it is asked to.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	for range asked {
		if len(os.Args) < 2 || os.Args[1] != "--stubborn" {
			return
		}
	}
}
