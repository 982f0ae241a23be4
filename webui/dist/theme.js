// Sets the theme before the first paint. A file of its own, so that no inline script is needed.
(function () {
  try {
    var chosen = localStorage.getItem('weir.theme');
    if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
  } catch (e) {
    // Storage is off: the system's theme holds.
  }
})();
