// SPDX-License-Identifier: BSD-2-Clause

// The same as sockopt.c in Go, whose programs make their system calls themselves.
package main

import (
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"syscall"
	"unsafe"
)

const (
	tcpEnoSessid    = 1027 // TCP_ENO_SESSID of <tcpcrypt/tcp_eno.h>
	tcpEnoSessidLen = 33
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func getsockopt(fd uintptr, option int, value []byte) (int, error) {
	length := uint32(len(value))
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP,
		uintptr(option), uintptr(unsafe.Pointer(&value[0])),
		uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(length), nil
}

func printSessionID(conn net.Conn) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	check(err)
	check(raw.Control(func(fd uintptr) {
		id := make([]byte, tcpEnoSessidLen)
		n, err := getsockopt(fd, tcpEnoSessid, id)
		check(err)
		fmt.Println(hex.EncodeToString(id[:n]))
	}))
}

func connect(where string) {
	conn, err := net.Dial("tcp", where)
	check(err)
	defer conn.Close()
	b := []byte("x")
	_, err = conn.Write(b)
	check(err)
	_, err = conn.Read(b)
	check(err)
	printSessionID(conn)
}

func listen(where string) {
	listener, err := net.Listen("tcp", where)
	check(err)
	conn, err := listener.Accept()
	check(err)
	defer conn.Close()
	b := make([]byte, 1)
	_, err = conn.Read(b)
	check(err)
	printSessionID(conn)
	_, err = conn.Write(b)
	check(err)
	conn.Read(b)
}

func main() {
	where := net.JoinHostPort(os.Args[2], os.Args[3])
	if os.Args[1] == "listen" {
		listen(where)
	} else {
		connect(where)
	}
}
