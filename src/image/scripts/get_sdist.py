# Downloads and unpacks the source distribution `name==version` into a directory. pip is not asked:
# it would run the project's build to learn its name.
import hashlib, os, re, shutil, sys, tarfile, tempfile, urllib.parse, urllib.request, zipfile

requirement, target = sys.argv[1:]
name, _, version = requirement.partition("==")
normal = lambda text: re.sub(r"[-_.]+", "-", text.strip()).lower()
index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/%s/" % normal(name)
page = urllib.request.urlopen(index, timeout=60).read().decode()
for href in re.findall(r'href="([^"]+)"', page):
    url = urllib.parse.urlparse(urllib.parse.urljoin(index, href.replace("&amp;", "&")))
    file = urllib.parse.unquote(url.path.rsplit("/", 1)[-1])
    stem = re.match(r"(.+)\.(tar\.gz|tgz|tar\.bz2|tar\.xz|zip)$", file)
    if stem and normal(stem.group(1)) == normal(name) + "-" + normal(version):
        break
else:
    sys.exit("%s has no source distribution of %s" % (index, requirement))

data = urllib.request.urlopen(url._replace(fragment="").geturl(), timeout=300).read()
digest = re.match(r"sha256=([0-9a-f]{64})", url.fragment)
if digest and hashlib.sha256(data).hexdigest() != digest.group(1):
    sys.exit("%s: its digest is not the one that the index states" % file)

with tempfile.TemporaryDirectory(dir=os.path.dirname(target)) as folder:
    archive = os.path.join(folder, file)
    with open(archive, "wb") as out:
        out.write(data)
    inside = os.path.join(folder, "inside")
    os.mkdir(inside)
    if file.endswith(".zip"):
        zipfile.ZipFile(archive).extractall(inside)
    else:
        tar = tarfile.open(archive)
        if hasattr(tarfile, "data_filter"):
            tar.extractall(inside, filter="data")
        else:
            tar.extractall(inside)
    tops = os.listdir(inside)
    if len(tops) != 1:
        sys.exit("%s holds %d things at its top; a source distribution holds one directory" % (file, len(tops)))
    top = os.path.join(inside, tops[0])
    info = os.path.join(top, "PKG-INFO")
    if os.path.exists(info):
        with open(info, encoding="utf-8", errors="replace") as text:
            said = dict(line.split(": ", 1) for line in text.read().split("\n\n")[0].splitlines() if ": " in line)
        found = (normal(said.get("Name", "")), normal(said.get("Version", "")))
        if found != (normal(name), normal(version)):
            sys.exit("%s says of itself that it is %s==%s" % ((file,) + found))
    os.makedirs(target, exist_ok=True)
    for entry in os.listdir(top):
        shutil.move(os.path.join(top, entry), os.path.join(target, entry))
print("%s: %d bytes, sha256 %s" % (file, len(data), hashlib.sha256(data).hexdigest()))
