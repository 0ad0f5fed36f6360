package main

import (
	"fmt"
	"slices"
	"strings"

	"holdfast/edge"
)

// arch is a kind of machine that images are made for.
type arch struct {
	name     string // ours
	debian   string
	platform []string // how Go calls it, as a program's environment
	kernel   string   // Debian's package
	grub     string   // GRUB's name for it

	grubPackage string   // Debian's with GRUB for it
	loader      string   // the file that firmware looks for
	root        string   // type of a partition with a system for it, by the specification of discoverable partitions
	consoles    []string // the last one is where the first programs speak; none: those that the firmware names
	drivers     []string // folders of drivers that a disk may hang on, beside those of all machines
}

// arches are all there are.
func arches() []arch {
	return []arch{
		{
			name: "amd64", debian: "amd64", platform: []string{"GOARCH=amd64", "GOAMD64=v1"}, kernel: "linux-image-amd64",
			grub: "x86_64-efi", grubPackage: "grub-efi-amd64-bin", loader: "BOOTX64.EFI", root: "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
			consoles: []string{"tty1", "ttyS0,115200"}, drivers: []string{"arch/x86/crypto"},
		},
		{
			name: "arm64", debian: "arm64", platform: []string{"GOARCH=arm64"}, kernel: "linux-image-arm64",
			grub: "arm64-efi", grubPackage: "grub-efi-arm64-bin", loader: "BOOTAA64.EFI", root: "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
			drivers: boards(),
		},
		{
			name: "armv7", debian: "armhf", platform: []string{"GOARCH=arm", "GOARM=7"}, kernel: "linux-image-armmp-lpae",
			grub: "arm-efi", grubPackage: "grub-efi-arm-bin", loader: "BOOTARM.EFI", root: "69DAD710-2CE4-4E3C-B16C-21A1D49ABED3",
			drivers: boards(),
		},
	}
}

// boards are the drivers by which the disks of small boards get clock and power. Where the
// serial line of such a board is only its firmware knows, which tells the kernel unless that
// is told of consoles otherwise.
func boards() []string {
	return []string{
		"drivers/phy", "drivers/regulator", "drivers/clk", "drivers/reset", "drivers/pinctrl", "drivers/gpio", "drivers/mfd",
		"drivers/i2c", "drivers/spi", "drivers/dma", "drivers/soc", "drivers/bus", "drivers/pci", "drivers/nvmem",
		"drivers/extcon", "drivers/power", "drivers/mailbox", "drivers/firmware", "drivers/iommu", "drivers/mtd", "arch/arm64/crypto", "arch/arm/crypto",
		"drivers/hwspinlock", "drivers/interconnect", "drivers/irqchip", "drivers/memory", "drivers/pwm", "drivers/rpmsg", "drivers/rtc", "drivers/tee", "drivers/ufs",
		"drivers/usb/cdns3", "drivers/usb/chipidea", "drivers/usb/dwc2", "drivers/usb/dwc3", "drivers/usb/isp1760", "drivers/usb/musb", "drivers/usb/phy",
		"drivers/usb/renesas_usbhs", "drivers/usb/roles", "drivers/usb/typec", "drivers/usb/misc/onboard_usb_hub.ko",
	}
}

// archOf is the one of a name.
func archOf(name string) (arch, error) {
	all := arches()
	at := slices.IndexFunc(all, func(a arch) bool { return a.name == name })
	if at < 0 {
		return arch{}, fmt.Errorf("cannot make image for %q: it is none of amd64, arm64, armv7: %w", name, edge.ErrInvalid)
	}
	return all[at], nil
}

// words are what the kernel is told, beside which disk and which system.
func (a arch) words() string {
	words := []string{"quiet", "loglevel=3", "panic=30", "systemd.gpt_auto=0", "systemd.show_status=0"}
	for _, console := range a.consoles {
		words = append(words, "console="+console)
	}
	return strings.Join(words, " ")
}
