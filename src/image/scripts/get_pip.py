import os, re, subprocess, sys, tempfile, urllib.parse, urllib.request

index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
page = urllib.request.urlopen(index, timeout=60).read().decode()
best = None
for href, rest in re.findall(r'href="([^"]+)"([^>]*)>', page):
    name = urllib.parse.urlparse(href).path.rsplit("/", 1)[-1]
    version = re.match(r"pip-(\d+(?:\.\d+)+)-py3-none-any\.whl$|pip-(\d+(?:\.\d+)+)-py2\.py3-none-any\.whl$", name)
    needs = re.search(r'data-requires-python="(?:>|&gt;)=(\d+)\.(\d+)', rest)
    if not version or (needs and tuple(map(int, needs.groups())) > sys.version_info[:2]):
        continue
    number = tuple(map(int, (version.group(1) or version.group(2)).split(".")))
    if best is None or number > best[0]:
        best = (number, name, urllib.parse.urljoin(index, href))
if best is None:
    sys.exit("no pip for this Python at " + index)
with tempfile.TemporaryDirectory() as folder:
    wheel = os.path.join(folder, best[1])
    with open(wheel, "wb") as file:
        file.write(urllib.request.urlopen(best[2], timeout=60).read())
    subprocess.check_call([sys.executable, wheel + "/pip", "install", wheel])
