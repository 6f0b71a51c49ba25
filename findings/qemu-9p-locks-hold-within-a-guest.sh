#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Tool: QEMU 7.2's 9p server (-fsdev local, -device virtio-9p-pci) under Linux 6.1 guests, both as Debian 12 has them.
#
# Expected: a lock that one guest takes on a shared file keeps another guest, and the host, from taking it.
# Found: within a guest a second lock is refused; another guest and a process of the host get the same exclusive lock at the same
#   time, and nobody hears of it. The server answers every request for a lock with success, and takes none on the host.
# What follows: a machine monitor that keeps two owners of a disk image apart by a lock is not protected on such a share: of two
#   monitors in two guests, each has its lock. Images that may have two users belong on a file system whose server has the locks.
#
# Ends with status 0 while that is so, 1 when it has changed, 77 when the packages cannot be had.
set -eu
work=$(mktemp -d)
trap 'kill $first $second 2>/dev/null || true; rm -rf "$work"' EXIT
first='' second=''
cd "$work"
have() { echo "$1: cannot be had"; exit 77; }

# ---- packages, unpacked here
mkdir -p cache/archives/partial packages root
kernel=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-6\.1\..*\)/\1/p')
for package in qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3 busybox-static=1:1.35.0-4+deb12u1+b1 "$kernel"; do
    (cd packages && apt-get -qq download "$package" >/dev/null 2>&1) || have "$package"
done
# What they need and this machine has not.
apt-get -qq -y -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root --no-install-recommends --download-only \
    install qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3 >/dev/null 2>&1 || have "what QEMU needs"
for package in packages/*.deb cache/archives/*.deb; do
    [ ! -e "$package" ] || dpkg-deb -x "$package" root
done
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu"
qemu="$work/root/usr/bin/qemu-system-x86_64"
firmware="-L $work/root/usr/share/qemu -L $work/root/usr/share/seabios -L /usr/share/qemu -L /usr/share/seabios"

# ---- a guest: busybox, and the drivers for the share
mkdir -p guest/bin guest/dev guest/proc guest/share guest/modules share
cp "$(find root -name busybox -path '*bin/*')" guest/bin/busybox
number=10
for driver in virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci fscache netfs 9pnet 9pnet_virtio 9p; do
    file=$(find root -name "$driver.ko")
    [ -z "$file" ] || cp "$file" "guest/modules/$number-$driver.ko"
    number=$((number + 1))
done
cat >guest/init <<'EOF'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs none /dev; $b mount -t proc none /proc
for module in /modules/*; do $b insmod $module; done
$b mount -t 9p -o trans=virtio,version=9p2000.L,cache=none share /share || echo "SAID no share"
who=$($b sed -n 's/.*who=\([a-z]*\).*/\1/p' /proc/cmdline)
if [ "$who" = first ]; then
    $b flock -x /share/image -c "$b flock -n /share/image true && echo 'SAID a second lock within the guest: granted' ||
        echo 'SAID a second lock within the guest: refused'; echo > /share/first-has-it; while [ ! -e /share/done ]; do $b sleep 1; done"
else
    while [ ! -e /share/first-has-it ]; do $b sleep 1; done
    $b flock -n /share/image true && echo 'SAID a lock of another guest: granted' || echo 'SAID a lock of another guest: refused'
    echo > /share/second-is-done
fi
$b poweroff -f
EOF
chmod +x guest/init
: >share/image
(cd guest && find . | ./bin/busybox cpio -o -H newc 2>/dev/null) >initrd

start() {
    # shellcheck disable=SC2086
    exec "$qemu" $firmware -M q35 -accel tcg -m 512 -nodefaults -no-user-config -no-reboot -display none -serial "file:$1.log" \
        -kernel "$(find root/boot -name 'vmlinuz-*')" -initrd initrd -append "console=ttyS0 quiet panic=-1 who=$1" \
        -fsdev local,id=share,path=share,security_model=none -device virtio-9p-pci,fsdev=share,mount_tag=share
}
start first & first=$!
start second & second=$!
waited=0
while [ ! -e share/second-is-done ] && [ $waited -lt 120 ]; do sleep 1; waited=$((waited + 1)); done
if flock -n share/image true; then host=granted; else host=refused; fi
: >share/done
wait $first $second || true

"$qemu" --version | head -n 1
echo "guests: $kernel"
found=$(cat first.log second.log | tr -d '\r' | sed -n 's/^.*SAID //p'; echo "a lock of a process on the host: $host")
echo "$found"
expected='a second lock within the guest: refused
a lock of another guest: granted
a lock of a process on the host: granted'
if [ "$found" = "$expected" ]; then
    echo "as found: the locks of a 9p share hold within a guest only"
else
    echo "changed: expected"
    echo "$expected"
    exit 1
fi
