#!/bin/sh
# does: what CDK and amicontained look for to begin with: sockets of engines, secrets, capabilities, privileged mounts, shared namespaces
bad() { echo "ESCAPED $*"; }
for path in /var/run/docker.sock /run/docker.sock /run/containerd /run/crio /run/podman /var/run/secrets \
  /run/secrets /.dockerenv /var/lib/docker /var/lib/kubelet /host /rootfs /mnt/host /etc/kubernetes /root/.kube \
  /root/.ssh /root/.aws /root/.docker /home/*/.ssh /etc/shadow /etc/sudoers /etc/machine-id /proc/1/root/etc; do
  [ -e "$path" ] && bad "$path is there"
done
for name in KUBERNETES_SERVICE_HOST AWS_SECRET_ACCESS_KEY SSH_AUTH_SOCK GITHUB_TOKEN HOSTILE_SECRET; do
  eval "[ -n \"\$$name\" ]" && bad "variable $name"
done
grep -q '^CapEff:.0000003fffffffff\|^CapEff:.000001ffffffffff' /proc/self/status && bad "all capabilities"
grep -q '^Seccomp:.2' /proc/self/status || bad "no filter"
grep -q '^NoNewPrivs:.1' /proc/self/status || bad "new privileges"
for dev in sda vda nvme0n1 kmsg mem kvm fuse loop-control mapper net/tun vsock vhost-net sev uinput rtc dri snd; do
  [ -e /dev/$dev ] && bad "/dev/$dev"
done
awk '$5 ~ /^\/(etc|root|home|var)/ {print "ESCAPED mount " $5}' /proc/self/mountinfo
[ "$(hostname)" = "$HOST_NAME" ] && bad "the machine's name"
grep -q '@/containerd-shim\|docker\|systemd\|dbus' /proc/net/unix && bad "the machine's sockets"
[ "$(ls -d /proc/[0-9]* | wc -l)" -lt 10 ] || bad "many processes"
[ "$(awk '{print $3; exit}' /proc/self/uid_map)" -gt 100000 ] && bad "ids are those outside"
find / -xdev -perm -4000 -newer /proc/1 2>/dev/null | grep . && bad "new set-user-id files"
true
