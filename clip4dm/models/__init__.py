"""From a backbone's name, a tag, a file or a folder to a frozen CLIP. demo/ holds the small one that comes along."""
